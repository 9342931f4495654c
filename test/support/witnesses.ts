/** Witnesses of a test's log: the real thing behind HTTP, in this process; they can go away and come back. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ByteBudget } from '../../api/byte-budget.ts'
import { createHttpServer } from '../../api/listener.ts'
import { createWitnessApp } from '../../api/witness.ts'
import { Witnesses } from '../../src/cosign/witnesses.ts'
import type { IncidentFinding } from '../../src/incident/finding.ts'
import type { Witnessing } from '../../src/log/cosigned.ts'
import type { LogKeys } from '../../src/log/log-keys.ts'
import { createLogger } from '../../src/ops/logger.ts'
import { createMetrics } from '../../src/ops/metrics.ts'
import { checkMlDsa44 } from '../../src/ops/ml-dsa.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ed25519SignerFromSeed, generateEd25519Seed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { createWitnessMetrics } from '../../src/ops/witness-metrics.ts'
import { openWitnessing } from '../../src/serve-witnesses.ts'
import { Witness } from '../../src/witness/witness.ts'
import { addCheckpointBytesMax } from '../../tlog/add-checkpoint.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { cosignatureVerifier } from '../../tlog/cosignature.ts'
import { type NoteVerifier, textVerifier } from '../../tlog/note.ts'
import { formatVkey, namedKey, parseVkey } from '../../tlog/note-key.ts'
import { origin } from './log.ts'

export type TestWitness = {
  readonly name: string
  readonly vkey: string
  readonly verifier: NoteVerifier
  readonly url: string
  /** Where it keeps what it cosigned. */
  readonly dataDir: string
  /** From now on nobody answers there. */
  readonly leave: () => Promise<void>
  /** Answers again, at the same port, remembering what it cosigned. */
  readonly comeBack: () => Promise<void>
}

export type TestWitnesses = readonly TestWitness[] & { readonly close: () => Promise<void> }

/** Witnesses of the log of the verifier key, named w1, w2 and so on. */
export async function startWitnesses(count: number, vkey: string): Promise<TestWitnesses> {
  const witnesses = await Promise.all(Array.from({ length: count }, (_, i) => startWitness(`w${i + 1}`, vkey)))
  const close = async (): Promise<void> => {
    await Promise.all(witnesses.map((witness) => witness.leave()))
    await Promise.all(witnesses.map(({ dataDir }) => rm(dataDir, { recursive: true, force: true })))
  }
  return Object.assign(witnesses, { close })
}

/** A policy by which `threshold` of them are the quorum; without, none is wanted. */
export function policyOf(witnesses: readonly TestWitness[], threshold?: number): Uint8Array {
  const lines = witnesses.map(({ name, vkey, url }) => `witness ${name} ${vkey} ${url}`)
  const names = witnesses.map(({ name }) => name).join(' ')
  const quorum = threshold === undefined ? ['quorum none'] : [`group all ${threshold} ${names}`, 'quorum all']
  return encodeUtf8(`${[...lines, ...quorum].join('\n')}\n`)
}

export type TestWitnessing = { readonly witnesses: Witnesses; readonly witnessing: Witnessing }

/** A log's side of witnesses by a policy. `onFinding` is told of what they know otherwise. */
export function witnessingOf(
  keys: LogKeys,
  policy: Uint8Array,
  publishesAfterQuorum = false,
  onFinding: (finding: IncidentFinding) => void = () => {},
): TestWitnessing {
  const check = { ed25519: nodeSignatureCheck.ed25519, mlDsa44: checkMlDsa44 }
  const witnesses = Witnesses.parse(policy, keys.vkey, check)
  const witnessing = openWitnessing(witnesses, {
    config: { publishesAfterQuorum, witnessTimeoutMs: 2_000 },
    instance: { origin, keys },
    alarms: { raise: onFinding },
    logger: createLogger('silent'),
    metrics: createMetrics(() => {
      throw new Error('nobody reads them')
    }),
  })
  return { witnesses, witnessing }
}

async function startWitness(name: string, logVkey: string): Promise<TestWitness> {
  const dataDir = await mkdtemp(join(tmpdir(), 'dendrolog-witness-'))
  const { publicKey, sign } = ed25519SignerFromSeed(generateEd25519Seed())
  const key = namedKey(`${name}.example`, 4, publicKey)
  let port = 0
  let stop: (() => Promise<void>) | undefined
  const comeBack = async (): Promise<void> => {
    const witness = await Witness.open({
      ...{ dataDir, keys: [{ key, sign }], sha256: nativeSha256, nowMs: Date.now },
      logs: [{ origin, verifiers: [textVerifier(parseVkey(logVkey), nodeSignatureCheck)] }],
      onFatal: (error) => {
        throw error
      },
    })
    const app = createWitnessApp({
      times: { answerMs: 25_000, paceMs: 10_000 },
      bodyBudget: new ByteBudget(16 * addCheckpointBytesMax),
      addCheckpoint: (body) => witness.addCheckpoint(body),
      readCheckpoint: (id) => witness.readCheckpoint(id),
      witnessMetrics: createWitnessMetrics(() => witness.logs),
      onUnexpected: (error) => {
        throw error
      },
      onRefused: () => {},
      metrics: { problems: { inc: () => {} } },
    })
    const { http, close } = createHttpServer(app)
    http.listen(port, '127.0.0.1')
    await once(http, 'listening')
    port = (http.address() as AddressInfo).port
    stop = async () => {
      await close(Promise.resolve())
      await witness.close()
    }
  }
  const leave = async (): Promise<void> => {
    const ending = stop
    stop = undefined
    await ending?.()
  }
  await comeBack()
  const verifier = cosignatureVerifier(key, nodeSignatureCheck)
  return { name, vkey: formatVkey(key), verifier, url: `http://127.0.0.1:${port}`, dataDir, leave, comeBack }
}
