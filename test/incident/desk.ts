/** Incidents on a database of their own, as a server and a command have them. */
import { createHash, randomBytes } from 'node:crypto'
import { AlarmSender, type AlarmSenderOptions } from '../../src/incident/alarm-sender.ts'
import { IncidentOffice, type IncidentOfficeOptions } from '../../src/incident/incident-office.ts'
import { makeId } from '../../src/ingest/make-id.ts'
import { createSignAct } from '../../src/log/own-act-entry.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ed25519SignerFromSeed } from '../../src/ops/signing.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { ed25519KeyType, namedKey, type VerifierKey } from '../../tlog/note-key.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { origin, schema } from '../support/log.ts'

export type Desk = {
  readonly database: TestDatabase
  /** Of the login that keeps state. */
  readonly state: Pool
  readonly admin: Pool
  /** Of the log that signs acts. */
  readonly vkey: VerifierKey
  readonly open: (options?: Partial<IncidentOfficeOptions>) => IncidentOffice
  /** Runs a sender until its `stop`; the options make it fast. */
  readonly send: (options: Pick<AlarmSenderOptions, 'hooks'> & Partial<AlarmSenderOptions>) => SenderRun
  readonly close: () => Promise<void>
}

export type SenderRun = {
  readonly attempts: (readonly [hook: string, outcome: string, reason: string | undefined])[]
  readonly failures: unknown[]
  readonly stop: () => Promise<void>
}

export const quick = { idleMs: 5, retryMs: 5, retryMaxMs: 40, countMs: 20 }

export async function openDesk(): Promise<Desk> {
  const database = await makeDatabase()
  const state = openPool(database.as('app_state_role'), 4, 10_000)
  const admin = openPool(database.admin, 1, 10_000)
  const { publicKey, sign } = ed25519SignerFromSeed(
    new Uint8Array(createHash('sha256').update(randomBytes(8)).digest()),
  )
  const vkey = namedKey(origin, ed25519KeyType, publicKey)
  const signer = { name: vkey.name, keyId: vkey.keyId, sign }
  const running = new Set<SenderRun>()
  const base: IncidentOfficeOptions = {
    ...{ query: state.query, schema, hooks: ['webhook', 'pagerduty'], nowMs: Date.now },
    makeId: () => formatUuid(makeId()),
    signAct: createSignAct({ signer, makeId, nowMs: Date.now, hash: nativeSha256 }),
  }
  return {
    ...{ database, state, admin, vkey },
    open: (options) => new IncidentOffice({ ...base, ...options }),
    send: (options) => {
      const run = runSender({ query: state.query, schema, origin, ...options }, () => running.delete(run))
      running.add(run)
      return run
    },
    close: async () => {
      await Promise.all([...running].map((run) => run.stop()))
      await Promise.all([state.close(), admin.close()])
      await database.drop()
    },
  }
}

type Needed = Pick<AlarmSenderOptions, 'query' | 'schema' | 'origin' | 'hooks'>

function runSender(options: Needed & Partial<AlarmSenderOptions>, onStopped: () => void): SenderRun {
  const [attempts, failures]: [SenderRun['attempts'], unknown[]] = [[], []]
  const sender = new AlarmSender({
    onAttempt: (...attempt) => attempts.push(attempt),
    onCounted: () => {},
    onFailed: (error) => failures.push(error),
    ...options,
    timing: { ...quick, ...options.timing },
  })
  const stopping = new AbortController()
  const running = sender.run(stopping.signal)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await running
    onStopped()
  }
  return { attempts, failures, stop }
}

export const corrupt = {
  violationType: 'PAYLOAD_CORRUPT',
  sequenceNumber: 7,
  detail: 'chain hash from the columns is not current_hash',
  evidence: { stored: 'aa', computed: 'bb' },
}
