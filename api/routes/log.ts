import type { Hono } from 'hono'
import { refusedListedMax } from '../../src/ingest/quarantine.ts'
import { payloadBytesMax, payloadDepthMax, recordBytesMax } from '../../src/ingest/record.ts'
import { openToBrowsers } from '../cors.ts'
import { malformed, readQuery } from '../parameters.ts'
import type { Env, Server } from '../server.ts'

/** What the log says of itself, its newest checkpoint, and how it is. */
export function routeLog(app: Hono<Env>, server: Server): void {
  const { origin, vkey, sthPublicKey, logId } = server.identity
  const { bodyBytesMax, recordsMax, checkpointIntervalMs, resignIntervalMs } = server.limits
  openToBrowsers(app, '/v1/log')
  openToBrowsers(app, '/checkpoint')
  app.get('/v1/log', (c) =>
    c.json({
      origin,
      vkey,
      sthPublicKey,
      logId,
      treeSize: server.log.published.treeSize,
      keys: [
        { vkey, use: 'checkpoint', from: 0, until: null },
        { spki: sthPublicKey, use: 'sth', from: 0, until: null },
      ],
      limits: {
        bodyBytes: bodyBytesMax,
        records: recordsMax,
        recordBytes: recordBytesMax,
        refusedListed: refusedListedMax,
        payloadBytes: payloadBytesMax,
        payloadDepth: payloadDepthMax,
      },
      intervals: { checkpointMs: checkpointIntervalMs, resignMs: resignIntervalMs },
      witnesses: [],
    }),
  )
  app.get('/checkpoint', (c) =>
    c.body(server.log.published.note, 200, {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
    }),
  )
  app.get('/healthz', (c) => c.json({ status: 'alive' }))
  app.get('/readyz', async (c) => {
    const use = readQuery(c, 'for') ?? 'writes'
    if (use !== 'writes' && use !== 'reads') throw malformed('for', 'want writes or reads')
    const { status, problem } = await (use === 'reads' ? readForReads(server) : readForWrites(server))
    const { problem: _, ...health } = server.log.health
    const isReady = status === 'ready'
    return c.json({ status, ...(problem ? { problem } : {}), ...health, isReady }, isReady ? 200 : 503)
  })
}

type Readiness = { readonly status: 'ready' | 'not ready' | 'standby'; readonly problem?: string | undefined }

/** Whether submissions may be sent here. The log itself notices its writer and signer; tokens and reading have logins of their own. */
async function readForWrites({ log, failingLogins }: Server): Promise<Readiness> {
  const { isReady, code, problem } = log.health
  if (code === 'NOT_LEADER') return { status: 'standby', problem }
  return isReady ? readiness(await failingLogins()) : { status: 'not ready', problem }
}

/** Whether everything else may be asked here: of a server that stands by, and of a log that takes nothing, too. */
async function readForReads({ failingLogins }: Server): Promise<Readiness> {
  return readiness((await failingLogins()).filter((name) => name !== 'writer'))
}

function readiness(failing: readonly string[]): Readiness {
  return failing.length === 0 ? { status: 'ready' } : { status: 'not ready', problem: describeFailing(failing) }
}

/** What is wrong with logins to the database, for whoever must mend it; the server's log has the reasons. */
export function describeFailing(names: readonly string[]): string {
  return `the database does not let in the server's logins ${names.join(', ')}; its log says why`
}
