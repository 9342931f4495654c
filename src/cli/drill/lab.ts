import { randomBytes } from 'node:crypto'
import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { type LogEvent, openLogClient, type SignedCheckpoint, submitMany } from '../../client/index.ts'
import { withConnection, withDatabase } from '../../store/administrator.ts'
import type { Schema } from '../../store/batch.ts'
import { readSize } from '../../store/drill/rewrite.ts'
import { openCluster } from '../../store/embedded.ts'
import { type LoginRole, loadOrCreateRoles, type RolePasswords, roleConfig } from '../../store/roles.ts'
import { openPool, type Query } from '../../store/session.ts'
import { type AlarmReceiver, openAlarmReceiver } from './alarm-receiver.ts'
import type { Copy } from './copy.ts'
import { runProgram, startServer, until } from './program.ts'

export const schema: Schema = { evidence: 'security', state: 'security_state' }

/** What copies are made of: the log as it is, or as it was when two thirds of it were there. */
export type Original = 'now' | 'before'

export type Lab = {
  readonly folder: string
  readonly receiver: AlarmReceiver
  readonly vkey: string
  readonly verifies: boolean
  /** Entries of the log as it is. */
  readonly size: number
  /** An entry with a separator in its action, for those who know the chain's weakness. */
  readonly separatorAt: number
  /** An entry whose payload is too long for its row, and stands beside the table. */
  readonly longAt: number
  /** What a monitor saw last. */
  readonly seen: SignedCheckpoint
  /** `database` and `files` may be of different times: what somebody restored. */
  readonly copy: (name: string, of?: { readonly database?: Original; readonly files?: Original }) => Promise<Copy>
  /** Removes it, unless it is to be kept. */
  readonly close: (keep: boolean) => Promise<void>
}

export type LabOptions = {
  readonly events: readonly LogEvent[]
  readonly probeSeconds: number
  readonly binDir: string | undefined
  readonly verifies: boolean
}

const connectionsMax = '300'
const publishedMs = 60_000

/** A new PostgreSQL with a log of these events, in a folder of its own below the system's for temporary files. */
export async function makeLab(
  { events, probeSeconds, binDir, verifies }: LabOptions,
  signal: AbortSignal,
): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'dendrolog-drill-'))
  // PostgreSQL may run as another user.
  await chmod(folder, 0o711)
  const receiver = await openAlarmReceiver()
  const cluster = await openCluster({
    dataDir: join(folder, 'cluster'),
    binDir,
    settings: { max_connections: connectionsMax },
  })
  const close = async (keep: boolean): Promise<void> => {
    await Promise.all([receiver.close(), cluster.stop()])
    if (!keep) await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  try {
    const admin = cluster.config
    const first = folderOf(folder, 'now')
    const made = await runProgram(['init', '--json'], {
      DATABASE_URL: urlOf(admin),
      DENDROLOG_DATA_DIR: first,
      DENDROLOG_ORIGIN: 'drill.invalid/log',
    })
    if (made.status !== 0) throw new Error(`the log could not be made: ${made.stderr.trim()}`)
    const { vkey } = JSON.parse(made.stdout) as { readonly vkey: string }
    const passwords = await loadOrCreateRoles(join(first, 'keys', 'roles.json'))
    const shared = { folder, admin, passwords, receiver, probeSeconds, verifies }
    const filled = await fill(shared, vkey, events, signal)
    return { folder, receiver, vkey, verifies, ...filled, copy: copier(shared), close }
  } catch (error) {
    await close(false)
    throw error
  }
}

type Shared = {
  readonly folder: string
  readonly admin: ClientConfig
  readonly passwords: RolePasswords
  readonly receiver: AlarmReceiver
  readonly probeSeconds: number
  readonly verifies: boolean
}

/** Two thirds, a backup, the rest; all of it through a server. */
async function fill(
  shared: Shared,
  vkey: string,
  events: readonly LogEvent[],
  signal: AbortSignal,
): Promise<Pick<Lab, 'size' | 'separatorAt' | 'longAt' | 'seen'>> {
  const { folder, admin } = shared
  const original = copyAt(shared, 'now', 'dendrolog')
  const atBackup = Math.floor((events.length * 2) / 3)
  await append(original, vkey, events.slice(0, atBackup), signal)
  await withConnection(withDatabase(admin, 'postgres'), ignore, (c) =>
    c.query('create database before template dendrolog'),
  )
  await cp(folderOf(folder, 'now'), folderOf(folder, 'before'), { recursive: true })
  const separator = { actorId: 'alice', action: 'read||it', resource: 'doc/1', payload: {} }
  // What is random is not compressed.
  const payload = { text: randomBytes(longBytes).toString('base64') }
  const long = { actorId: 'alice', action: 'doc.read', resource: 'doc/2', payload }
  const seen = await append(original, vkey, [...events.slice(atBackup), separator, long], signal)
  // A server may have logged acts of its own when it stopped.
  const size = await original.asSuperuser((query) => readSize(query, schema))
  return { size, separatorAt: events.length + 1, longAt: events.length + 2, seen }
}

/** Starts a server, submits, and stops it again; resolves with the checkpoint of all. */
async function append(
  copy: Copy,
  vkey: string,
  events: readonly LogEvent[],
  signal: AbortSignal,
): Promise<SignedCheckpoint> {
  const server = await startServer(copy, signal)
  try {
    const client = openLogClient({ url: server.url, vkey, token: await server.token('writer') })
    let last = 0
    for await (const outcome of submitMany(client, events, { eventsMax: eventsOfBatch, signal })) {
      if (outcome.kind === 'refused') throw new Error(`an event was refused: ${outcome.code} ${outcome.detail}`)
      last = Math.max(last, outcome.sequenceNumber)
    }
    const checkpoint = await until(
      async () => {
        const shown = await client.readSignedCheckpoint(signal)
        return shown.checkpoint.size >= last ? shown : undefined
      },
      publishedMs,
      signal,
    )
    if (checkpoint === undefined) throw new Error('no checkpoint of all events')
    return checkpoint
  } finally {
    await server.stop()
  }
}

/** More than of any other event: payloads of two thousand and more stand beside the table. */
const longBytes = 30_000

/** Several heads, so that there is one to cut the log at. */
const eventsOfBatch = 100

function copier(shared: Shared): Lab['copy'] {
  const { folder, admin } = shared
  // A database is copied by one at a time.
  let last: Promise<unknown> = Promise.resolve()
  return (name, { database = 'now', files = 'now' } = {}) => {
    const copied = last.then(async () => {
      const template = database === 'now' ? 'dendrolog' : database
      await withConnection(withDatabase(admin, 'postgres'), ignore, (c) =>
        c.query(`create database ${name} template ${template}`),
      )
      await mkdir(join(folder, 'logs'), { recursive: true })
      await cp(folderOf(folder, files), folderOf(folder, name), { recursive: true })
      return copyAt(shared, name, name)
    })
    last = copied.catch(() => {})
    return copied
  }
}

function copyAt(
  { folder, admin, passwords, receiver, probeSeconds, verifies }: Shared,
  name: string,
  database: string,
): Copy {
  const here = withDatabase(admin, database)
  const login = (role: LoginRole): ClientConfig => roleConfig(here, '', role, passwords)
  const work = async <T>(config: ClientConfig, act: (query: Query) => Promise<T>): Promise<T> => {
    const pool = openPool(config, 1, statementMs)
    try {
      return await act(pool.query)
    } finally {
      await pool.close()
    }
  }
  return {
    name,
    folder: folderOf(folder, name),
    environment: {
      PORT: '0',
      DENDROLOG_DATA_DIR: folderOf(folder, name),
      DENDROLOG_WRITER_URL: urlOf(login('app_writer_role')),
      DENDROLOG_READER_URL: urlOf(login('auditor_reader_role')),
      DENDROLOG_SIGNER_URL: urlOf(login('checkpoint_signer_role')),
      DENDROLOG_VERIFIER_URL: urlOf(login('verifier_role')),
      DENDROLOG_STATE_URL: urlOf(login('app_state_role')),
      DENDROLOG_PUBLIC_METRICS: 'true',
      DENDROLOG_TILE_FILES: 'false',
      DENDROLOG_VERIFIER: String(verifies),
      DENDROLOG_VERIFY_PROBE_SECONDS: String(probeSeconds),
      DENDROLOG_WEBHOOK_URL: receiver.webhookUrl(name),
      DENDROLOG_WEBHOOK_SECRET: receiver.secret,
    },
    asSuperuser: (act) => work(here, act),
    as: (role, act) => work(login(role), act),
  }
}

const statementMs = 60_000
const ignore = (): void => {}

function folderOf(folder: string, name: string): string {
  return join(folder, 'logs', name)
}

/** A socket's folder stands in the URL as a parameter. */
function urlOf({ host, port, user, password, database }: ClientConfig): string {
  const query = new URLSearchParams({
    host: host ?? '',
    port: String(port),
    user: user ?? '',
    password: String(password),
  })
  return `postgres:///${database}?${query}`
}
