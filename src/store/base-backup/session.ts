// The low-level API of base backups (PostgreSQL documentation, 25.3.4): one superuser's session, held open.
import { Client, type ClientConfig } from 'pg'
import { type Row, readInteger, readText } from '../row.ts'
import type { Query } from '../session.ts'

export type BackupSession = {
  readonly facts: ServerFacts
  /** Begins with a checkpoint at once. */
  readonly start: (label: string) => Promise<void>
  /** Ends the backup. The WAL that it needs stays until the session is closed. */
  readonly stop: () => Promise<StoppedBackup>
}

export type ServerFacts = {
  readonly version: string
  readonly dataFolder: string
  readonly systemIdentifier: string
  readonly segmentBytes: number
}

export type StoppedBackup = {
  readonly stopLsn: string
  /** Names of the first and the last WAL segment that a start from the backup needs. */
  readonly firstSegment: string
  readonly lastSegment: string
  readonly label: string
  /** Empty where there are no tablespaces. */
  readonly tablespaceMap: string
}

const connectMs = 10_000

/** Ends the session, and with it a backup that was not stopped, when `signal` aborts. */
export async function withBackupSession<T>(
  config: ClientConfig,
  signal: AbortSignal,
  work: (session: BackupSession) => Promise<T>,
): Promise<T> {
  const client = new Client({ ...config, connectionTimeoutMillis: connectMs, keepAlive: true })
  client.on('error', () => {})
  const end = (): void => void client.end().catch(() => {})
  signal.addEventListener('abort', end)
  try {
    await client.connect()
    const query: Query = async (text, values = []) => (await client.query(text, [...values])).rows as Row[]
    return await work(await sessionOf(query))
  } finally {
    signal.removeEventListener('abort', end)
    await client.end().catch(() => {})
  }
}

async function sessionOf(query: Query): Promise<BackupSession> {
  // Whatever somebody set for this role or database: a backup takes as long as it takes.
  await query(`set statement_timeout = 0; set idle_session_timeout = 0; set search_path = pg_catalog;
    set application_name = 'dendrolog snapshot'`)
  const [row = {}] = await query(
    `select version() as version, current_setting('data_directory') as folder,
       current_setting('server_version_num')::integer / 10000 as major,
       (select setting::integer from pg_settings where name = 'wal_segment_size') as segment_bytes,
       (select system_identifier::text from pg_control_system()) as system_identifier`,
  )
  const isOld = readInteger(row, 'major') < 15
  return {
    facts: {
      version: readText(row, 'version'),
      dataFolder: readText(row, 'folder'),
      systemIdentifier: readText(row, 'system_identifier'),
      segmentBytes: readInteger(row, 'segment_bytes'),
    },
    start: async (label) => {
      // Keeps segments from being recycled. Where no slot is free the copied ones are counted all the same.
      await query(
        `select pg_create_physical_replication_slot('dendrolog_snapshot_' || pg_backend_pid(), true, true)`,
      ).catch(() => {})
      await query(isOld ? 'select pg_start_backup($1, true, false)' : 'select pg_backup_start($1, true)', [label])
    },
    stop: async () => stoppedOf(query, isOld ? 'pg_stop_backup(false, false)' : 'pg_backup_stop(false)'),
  }
}

async function stoppedOf(query: Query, stop: string): Promise<StoppedBackup> {
  const [row = {}] = await query(`select lsn::text as lsn, labelfile, spcmapfile from ${stop}`)
  const [stopLsn, label] = [readText(row, 'lsn'), readText(row, 'labelfile')]
  const firstSegment = /^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)$/m.exec(label)?.[1]
  if (firstSegment === undefined) throw new Error('the backup label does not name its first WAL segment')
  // The byte before: at the end of a segment versions differ in which one they name.
  const [last = {}] = await query(`select pg_walfile_name($1::pg_lsn - 1) as name`, [stopLsn])
  return {
    ...{ stopLsn, firstSegment, label },
    lastSegment: readText(last, 'name'),
    tablespaceMap: typeof row.spcmapfile === 'string' ? row.spcmapfile : '',
  }
}
