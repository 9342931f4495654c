import { once } from 'node:events'
import { resolve } from 'node:path'
import { ByteBudget } from '../../../api/byte-budget.ts'
import { createHttpServer } from '../../../api/listener.ts'
import { createWitnessApp } from '../../../api/witness.ts'
import { addCheckpointBytesMax } from '../../../tlog/add-checkpoint.ts'
import { formatVkey } from '../../../tlog/note-key.ts'
import { createLogger } from '../../ops/logger.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { createWitnessMetrics } from '../../ops/witness-metrics.ts'
import { lockFolder } from '../../store/embedded/folder-lock.ts'
import { Witness } from '../../witness/witness.ts'
import { openWitnessKeys, readLogs } from './folder.ts'

export type ListeningWitness = { readonly url: string; readonly vkeys: readonly string[]; readonly logs: number }

/** Logs sign a checkpoint a second and wait for it no longer than this. */
const times = { answerMs: 10_000, paceMs: 5_000 }
/** Of all requests: notes are a few hundred bytes, and a log with many post-quantum cosignatures is rare. */
const bodiesMax = 16

/** Serves a witness until `signal`. Rejects where what it cosigned cannot be made durable: then it must not go on. */
export async function serveWitness(
  { dataDir, host, port }: { readonly dataDir: string; readonly host: string; readonly port: number },
  signal: AbortSignal,
  onListening: (listening: ListeningWitness) => void,
): Promise<void> {
  const unlock = await lockFolder(dataDir)
  const [keys, logs] = [await openWitnessKeys(dataDir), await readLogs(dataDir)]
  const logger = createLogger('info')
  const stopping = new AbortController()
  signal.addEventListener('abort', () => stopping.abort(), { once: true })
  let fatal: unknown
  const witness = await Witness.open({
    ...{ dataDir: resolve(dataDir), keys, logs, sha256: nativeSha256, nowMs: Date.now },
    onFatal: (error) => {
      fatal = error
      stopping.abort()
    },
  })
  try {
    const app = createWitnessApp({
      times,
      bodyBudget: new ByteBudget(bodiesMax * addCheckpointBytesMax),
      addCheckpoint: (body) => witness.addCheckpoint(body),
      readCheckpoint: (id) => witness.readCheckpoint(id),
      witnessMetrics: createWitnessMetrics(() => witness.logs),
      onUnexpected: (err, requestId) => logger.error({ err, requestId }, 'a request failed'),
      onRefused: () => {},
      metrics: { problems: { inc: () => {} } },
    })
    const { http, close } = createHttpServer(app)
    http.listen(port, host)
    await once(http, 'listening')
    const address = http.address()
    const bound = typeof address === 'object' && address !== null ? address.port : port
    onListening({
      url: `http://${host}:${bound}`,
      vkeys: keys.map(({ key }) => formatVkey(key)),
      logs: logs.length,
    })
    if (!signal.aborted) await once(stopping.signal, 'abort')
    await close(Promise.resolve())
    if (fatal !== undefined) throw fatal
  } finally {
    await witness.close()
    await unlock()
  }
}
