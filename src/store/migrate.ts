/**
 * Brings a database to the schema of `migrations/`: numbered files, forward only, one transaction each. Of every
 * applied file the SHA-256 is kept; a file that was edited, lost or slipped in later stops the migration, because
 * nobody could say any more which schema the database has.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, type ClientConfig, escapeIdentifier, escapeLiteral } from 'pg'
import { checkName, withConnection, withServerLock } from './administrator.ts'
import { migrationNote } from './schema-facts.ts'

export interface MigrateOptions {
  /** Folder of the files `NNNN_name.sql`, numbered from 0001 without a gap. */
  readonly directory: string
  /** For `{{schema}}`: a log is a schema. */
  readonly schema: string
  /** For `{{prefix}}`, before the names of the log's roles; may be empty. */
  readonly prefix: string
  /** Gets the server's notices and warnings, with the file they came from. */
  readonly log: (message: string) => void
}

export interface Migration {
  readonly version: number
  readonly name: string
  readonly sha256: Uint8Array
}

export type MigrationRefusal = 'malformed' | 'edited' | 'missing' | 'out-of-order' | 'newer' | 'failed'

/** Nothing of the named file was done; those before it are. */
export class MigrationError extends Error {
  readonly code: MigrationRefusal
  readonly file: string

  constructor(code: MigrationRefusal, file: string, message: string, options?: { cause?: unknown }) {
    super(`migration ${file}: ${message}`, options)
    this.name = 'MigrationError'
    this.code = code
    this.file = file
  }
}

type MigrationFile = Migration & { readonly file: string; readonly sql: string }

/**
 * Applies what is not applied yet and returns it, oldest first. Waits while another migration runs on the server.
 * Throws MigrationError; `config` must be an administrator's.
 */
export async function migrate(config: ClientConfig, options: MigrateOptions): Promise<readonly Migration[]> {
  checkName('schema', options.schema)
  checkName('prefix', options.prefix)
  const files = await readMigrations(options)
  return withServerLock(config, options.log, () => {
    let current = ''
    const log = (message: string): void => options.log(`${current}: ${message}`)
    return withConnection(config, log, async (client) => {
      await checkEncoding(client)
      await ensureBookkeeping(client, options.schema)
      const pending = findPending(await readApplied(client, options.schema), files)
      for (const file of pending) {
        current = file.file
        await apply(client, options.schema, file)
      }
      return pending.map(({ version, name, sha256 }) => ({ version, name, sha256 }))
    })
  })
}

/** Decides what is to be done, or throws: the applied migrations must be the first of the files, unchanged. */
export function findPending<F extends Migration & { readonly file: string }>(
  applied: readonly Migration[],
  files: readonly F[],
): readonly F[] {
  const newest = files.at(-1)?.version ?? 0
  for (const row of applied) {
    const file = files.find(({ version }) => version === row.version)
    const name = fileName(row)
    if (row.version > newest) throw new MigrationError('newer', name, 'is applied, but this program does not know it')
    if (file === undefined) throw new MigrationError('missing', name, 'is applied, but its file is missing')
    if (file.name !== row.name) throw new MigrationError('missing', name, `is applied, but the file is ${file.file}`)
    if (!Buffer.from(file.sha256).equals(row.sha256)) throw editedError(file, row)
  }
  const last = applied.at(-1)?.version ?? 0
  const pending = files.filter(({ version }) => !applied.some((row) => row.version === version))
  const late = pending.find(({ version }) => version < last)
  if (late !== undefined) throw new MigrationError('out-of-order', late.file, `is not applied, but ${last} is`)
  return pending
}

function editedError(file: Migration & { readonly file: string }, row: Migration): MigrationError {
  const got = Buffer.from(file.sha256).toString('hex')
  const want = Buffer.from(row.sha256).toString('hex')
  return new MigrationError('edited', file.file, `was changed after it was applied: SHA-256 got ${got}, want ${want}`)
}

function fileName({ version, name }: Migration): string {
  return `${String(version).padStart(4, '0')}_${name}.sql`
}

/** Entries are UTF-8: another encoding would refuse some of them at the commit. */
async function checkEncoding(client: Client): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('show server_encoding')
  const encoding = rows[0]?.server_encoding
  if (encoding !== 'UTF8') throw new Error(`the database's encoding is ${encoding}, want UTF8: create it so`)
}

async function readMigrations(options: MigrateOptions): Promise<readonly MigrationFile[]> {
  const names = (await readdir(options.directory)).filter((name) => name.endsWith('.sql')).sort()
  if (names.length === 0) throw new MigrationError('malformed', options.directory, 'the folder has no files')
  const files = await Promise.all(names.map((name) => readMigration(options, name)))
  files.forEach(({ version, file }, i) => {
    if (version !== i + 1) throw new MigrationError('malformed', file, `number: got ${version}, want ${i + 1}`)
  })
  return files
}

async function readMigration(options: MigrateOptions, file: string): Promise<MigrationFile> {
  const match = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file)
  if (match === null) throw new MigrationError('malformed', file, 'name: want NNNN_name.sql')
  const bytes = await readFile(join(options.directory, file))
  const sha256 = createHash('sha256').update(bytes).digest()
  const sql = fillPlaceholders(options, file, bytes.toString('utf8'))
  return { file, version: Number(match[1]), name: match[2] as string, sha256, sql }
}

/** Both names were checked to be harmless within SQL. */
function fillPlaceholders({ schema, prefix }: MigrateOptions, file: string, text: string): string {
  const sql = text.replaceAll('{{schema}}', schema).replaceAll('{{prefix}}', prefix)
  const unknown = /\{\{\w*\}\}/.exec(sql)
  if (unknown !== null) throw new MigrationError('malformed', file, `unknown placeholder ${unknown[0]}`)
  return sql
}

/** The table is the administrator's own; it is made only where missing, since later DDL would need a permit. */
async function ensureBookkeeping(client: Client, schema: string): Promise<void> {
  if (await exists(client, schema, 'schema_migrations')) return
  const name = escapeIdentifier(schema)
  await inTransaction(client, async () => {
    await client.query(`create schema if not exists ${name}`)
    await client.query(
      `create table ${name}.schema_migrations (
         version integer primary key,
         name text not null,
         sha256 bytea not null check (octet_length(sha256) = 32),
         applied_at timestamptz not null default now()
       )`,
    )
    await client.query(`revoke all on ${name}.schema_migrations from public`)
  })
}

async function readApplied(client: Client, schema: string): Promise<readonly Migration[]> {
  const result = await client.query<Migration>(
    `select version, name, sha256 from ${escapeIdentifier(schema)}.schema_migrations order by version`,
  )
  return result.rows
}

async function apply(client: Client, schema: string, migration: MigrationFile): Promise<void> {
  try {
    await inTransaction(client, async () => {
      await permit(client, schema, migration.file)
      const before = await readTransaction(client)
      await client.query(migration.sql)
      if ((await readTransaction(client)) !== before) throw new Error('the file ends the transaction')
      await record(client, schema, migration)
      await revokePermit(client, schema)
    })
  } catch (cause) {
    throw new MigrationError('failed', migration.file, `${(cause as Error).message}${place(migration, cause)}`, {
      cause,
    })
  }
}

/** The server counts characters from 1 to where it stopped reading. */
function place({ sql }: MigrationFile, cause: unknown): string {
  const position = Number((cause as { position?: string }).position ?? Number.NaN)
  return Number.isNaN(position) ? '' : ` (line ${sql.slice(0, position).split('\n').length})`
}

/** In its table, and in a comment for verifiers, who may not read the table: theirs may be an older program. */
async function record(client: Client, schema: string, { version, name, sha256 }: Migration): Promise<void> {
  const table = `${escapeIdentifier(schema)}.schema_migrations`
  await client.query(`comment on table ${table} is ${escapeLiteral(migrationNote(version))}`)
  await client.query(
    `insert into ${table} (version, name, sha256)
     values ($1, $2, $3)`,
    [version, name, sha256],
  )
}

/** The guard of the evidence tables lets DDL pass only in a transaction that has such a row. */
async function permit(client: Client, schema: string, reason: string): Promise<void> {
  if (!(await exists(client, `${schema}_guard`, 'permits'))) return
  await client.query(
    `insert into ${escapeIdentifier(`${schema}_guard`)}.permits (backend_pid, txid, reason)
     values (pg_backend_pid(), txid_current(), $1)`,
    [`migration ${reason}`],
  )
}

/** Asks again whether the table is there: the file may have made it. */
async function revokePermit(client: Client, schema: string): Promise<void> {
  if (!(await exists(client, `${schema}_guard`, 'permits'))) return
  await client.query(
    `delete from ${escapeIdentifier(`${schema}_guard`)}.permits
     where backend_pid = pg_backend_pid()
       and txid = txid_current()`,
  )
}

async function exists(client: Client, schema: string, table: string): Promise<boolean> {
  const result = await client.query(
    `select from pg_catalog.pg_class as c
     join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
     where n.nspname = $1
       and c.relname = $2`,
    [schema, table],
  )
  return result.rowCount === 1
}

async function readTransaction(client: Client): Promise<unknown> {
  return (await client.query<{ txid: string }>('select txid_current() as txid')).rows[0]?.txid
}

async function inTransaction(client: Client, work: () => Promise<void>): Promise<void> {
  await client.query('begin')
  try {
    await work()
    await client.query('commit')
  } catch (error) {
    // If this fails too the connection is gone, and the transaction with it.
    await client.query('rollback').catch(() => {})
    throw error
  }
}
