/** A log of its own in a database of its own, run in this process on the real code; what a test wraps is its choice. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { makeId } from '../../src/ingest/make-id.ts'
import { RecordReader } from '../../src/ingest/record.ts'
import { Arena } from '../../src/log/arena.ts'
import { systemClock } from '../../src/log/clock.ts'
import { createLog } from '../../src/log/create.ts'
import type { LogIncident } from '../../src/log/incident.ts'
import { Log } from '../../src/log/log.ts'
import { createKeys, type LogKeys, openKeys } from '../../src/log/log-keys.ts'
import type { LogOptions } from '../../src/log/log-options.ts'
import type { Placement } from '../../src/log/pool.ts'
import { openFileCell, type SignerCell } from '../../src/log/signer-cell.ts'
import type { Submission } from '../../src/log/submission.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import type { Schema } from '../../src/store/batch.ts'
import { sessionCommitter } from '../../src/store/committer.ts'
import { openPool, openSession, type Session } from '../../src/store/session.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { checkLog, type LogSummary } from './check-log.ts'
import { makeDatabase, type TestDatabase } from './database.ts'

export const schema: Schema = { evidence: 'security', state: 'security_state' }
export const origin = 'test.example/log'

/** What a test changes of a log. */
export type TestLogOptions = Partial<Omit<LogOptions, 'openCommitter'>> & {
  /** Stands between the committer and its connection. */
  readonly wrapSession?: (session: Session) => Session
  readonly openCommitter?: LogOptions['openCommitter']
}

export type RunningLog = {
  readonly log: Log
  /** What made it stop so far. */
  readonly incidents: readonly unknown[]
  /** Graceful; resolves when everything was answered. */
  readonly stop: () => Promise<void>
}

export type TestLog = {
  readonly database: TestDatabase
  readonly folder: string
  readonly keys: LogKeys
  readonly cell: SignerCell
  /** Opens and runs the log, and waits until it takes entries. */
  readonly start: (options?: TestLogOptions) => Promise<RunningLog>
  /** As `start`, without waiting. */
  readonly begin: (options?: TestLogOptions) => Promise<RunningLog>
  readonly optionsOf: (options?: TestLogOptions) => LogOptions
  readonly check: () => Promise<LogSummary>
  /** Stops what runs, removes database and folder. */
  readonly drop: () => Promise<void>
}

/** Makes an empty log: database, keys, cell. */
export async function createTestLog(): Promise<TestLog> {
  const database = await makeDatabase()
  const folder = await mkdtemp(join(tmpdir(), 'dendrolog-log-'))
  await createKeys(folder, origin)
  const keys = await openKeys(folder, origin)
  const cell = openFileCell(join(folder, 'signer-state.json'))
  await createIn(database, keys, cell)
  const running = new Set<RunningLog>()
  const optionsOf = (options: TestLogOptions = {}): LogOptions => logOptions(database, keys, cell, options)
  const begin = async (options: TestLogOptions = {}): Promise<RunningLog> => {
    const begun = await run(optionsOf(options), (stopped) => running.delete(stopped))
    running.add(begun)
    return begun
  }
  return {
    ...{ database, folder, keys, cell, optionsOf, begin },
    start: async (options) => {
      const begun = await begin(options)
      await until(
        () => begun.log.health.isReady,
        () => `not ready: ${begun.log.health.problem}`,
      )
      return begun
    },
    check: () => checkLog(checkOptions(database.as('auditor_reader_role'), keys)),
    drop: async () => {
      await Promise.all([...running].map((log) => log.stop()))
      await database.drop()
      await rm(folder, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

export function checkOptions(reader: ClientConfig, keys: LogKeys): Parameters<typeof checkLog>[0] {
  const { vkey, sthPublicKey, sealKey } = keys
  return { reader, origin, vkey, sthPublicKey, sealKey }
}

async function createIn(database: TestDatabase, keys: LogKeys, cell: SignerCell): Promise<void> {
  const writer = openPool(database.as('app_writer_role'), 1, 10_000)
  const signer = openPool(database.as('checkpoint_signer_role'), 1, 10_000)
  const { signing, sealKey } = keys
  const [writerQuery, signerQuery] = [writer.query, signer.query]
  try {
    await createLog({
      ...{ origin, sealKey, keys: signing, cell, schema, nowMs: Date.now() },
      ...{ writer: writerQuery, signer: signerQuery },
    })
  } finally {
    await Promise.all([writer.close(), signer.close()])
  }
}

function logOptions(database: TestDatabase, keys: LogKeys, cell: SignerCell, options: TestLogOptions): LogOptions {
  const { wrapSession = (session) => session, timing, ...rest } = options
  const writer = rest.writer ?? database.as('app_writer_role')
  return {
    ...{ origin, keys, cell, schema, hash: nativeSha256, clock: systemClock, writer },
    reader: database.as('auditor_reader_role'),
    signer: database.as('checkpoint_signer_role'),
    poolLimits: { entriesMax: 10_000, bytesMax: 64_000_000 },
    batchLimits: { entriesMax: 1_000, bytesMax: 8_000_000 },
    checkpointIntervalMs: 10,
    resignIntervalMs: 60_000,
    onIncident: () => {},
    openCommitter: async () => sessionCommitter(wrapSession(await openSession(writer, 5_000)), schema),
    ...rest,
    timing: { reopenPauseMs: 20, lockWaitMs: 2_000, ...timing },
  }
}

async function run(options: LogOptions, onStopped: (log: RunningLog) => void): Promise<RunningLog> {
  const incidents: unknown[] = []
  const log = await Log.open({
    ...options,
    onIncident: (error, place) => {
      incidents.push(error)
      options.onIncident(error, place)
    },
  })
  const stopping = new AbortController()
  const running = log.run(stopping.signal)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping.abort()
    stopped ??= running.then(() => log.close()).finally(() => onStopped(begun))
    return stopped
  }
  const begun: RunningLog = { log, incidents, stop }
  return begun
}

/** Waits for a fact, at most 20 s where nothing else is said. */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  describe: () => string,
  withinMs = 20_000,
): Promise<void> {
  for (const startedAt = performance.now(); !(await isTrue()); ) {
    if (performance.now() - startedAt > withinMs) throw new Error(`waited in vain: ${describe()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Waits until the log has stopped for an incident of this code. */
export async function untilIncident({ log, incidents }: RunningLog, code: LogIncident['code']): Promise<void> {
  await until(
    () => log.health.incident === code,
    () => `incident ${code}; had ${incidents.map(String).join(', ')}`,
  )
}

export type TestRecord = {
  readonly id?: string
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly payload: object
  readonly clientIp?: string
  readonly occurredAt?: string
  readonly lamport?: number
}

const reader = new RecordReader()
const utf8 = (text: string): { bytes: Uint8Array; start: number; end: number } => {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}

/** The record, or its JSON text, as the doors make a submission of it. */
export function submissionOf(
  record: TestRecord | string,
  writer = 'token:test',
  sourcePosition: string | null = null,
): Submission {
  const bytes = encodeUtf8(typeof record === 'string' ? record : JSON.stringify(record))
  const provenance = { writer: utf8(writer), sourcePosition: sourcePosition === null ? null : utf8(sourcePosition) }
  const context = { provenance, peerAddress: utf8('192.0.2.7'), makeId, sha256: nativeSha256 }
  return reader.read(bytes, 0, bytes.length, new Arena(bytes.length), context)
}

export function submit(log: Log, records: readonly (TestRecord | string)[]): Promise<Placement> {
  return log.submit(records.map((record) => submissionOf(record)))
}

/** The id of test record `n`, a UUIDv7. */
export function idOf(n: number): string {
  return `01893f9c-3488-7000-8000-${n.toString(16).padStart(12, '0')}`
}

export function recordOf(n: number): TestRecord {
  return { id: idOf(n), actorId: `actor ${n}`, action: 'document.read', resource: 'doc/1', payload: { n, '10': [n] } }
}

/** Records `from` to `to` - 1. */
export function recordsOf(from: number, to: number): TestRecord[] {
  return Array.from({ length: to - from }, (_, i) => recordOf(from + i))
}
