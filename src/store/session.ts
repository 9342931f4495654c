import { once } from 'node:events'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { copyHeader, copyTrailer } from './copy-binary.ts'
import { DatabaseOutage, namedOutage } from './outage.ts'
import type { Row } from './row.ts'

/** What runs statements: a connection of our own, one of a pool, or either of them wrapped by a test that injects faults. */
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

/** As `Query`; by its name, of at most 63 characters, a statement is parsed and planned once a connection. */
export type NamedQuery = (name: string, text: string, values: readonly unknown[]) => Promise<readonly Row[]>

/** One connection that holds a transaction. */
export type Session = {
  readonly query: Query
  /** `copy TABLE (...) from stdin (format binary)` of these rows, which come without header and trailer. */
  readonly copy: (statement: string, rows: Uint8Array) => Promise<void>
  /**
   * Commits. Throws unless the server says COMMIT and nothing else: a warning ("might not have been replicated") or a
   * lost connection leaves the outcome unknown.
   */
  readonly commit: () => Promise<void>
  readonly close: () => Promise<void>
}

/** A role's pool; statements only, no transactions. */
export type Pool = { readonly query: Query; readonly queryNamed: NamedQuery; readonly close: () => Promise<void> }

export const connectTimeoutMs = 5_000
/** How a session that commits is told from others (`application_name`). */
export const committerName = 'dendrolog commit'
/** What a writer's statement takes at most, waiting for locks included: then its process has given it up already. */
const writerStatementTimeoutMs = 60_000
const copyChunkBytes = 262_144

/**
 * Names of ours have their schemas, others are PostgreSQL's own: whatever is set for a role or a database, nothing of
 * another schema takes their places.
 */
export const pinNames = 'set search_path = pg_catalog, pg_temp'

/** Statements that wait for a connection of a pool at most: as many as clients connect at once. */
const waitingMaxDefault = 4_096

export type PoolOptions = {
  /** Statements that wait for a connection at most. */
  readonly waitingMax?: number
  /**
   * So many connections stay open when nobody uses them, others ten seconds: a new one takes PostgreSQL 10 ms, and the
   * first statement on it that plans over all partitions of ten million entries a third of a second.
   */
  readonly keep?: number
}

/**
 * Whoever waits for a connection waits 5 s at most, and where `waitingMax` wait already nobody joins them: the query
 * rejects with DatabaseOutage.
 */
export function openPool(
  config: pg.ClientConfig,
  connections: number,
  statementTimeoutMs: number,
  { waitingMax = waitingMaxDefault, keep = 0 }: PoolOptions = {},
): Pool {
  const pool = new pg.Pool({
    ...config,
    max: connections,
    min: keep,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + 1_000,
    keepAlive: true,
    // The pool waits for it, and passes on why it failed.
    onConnect: (client) => client.query(pinNames),
  })
  // A backend that is killed while idle reports here and nowhere else; the next query takes a fresh connection.
  pool.on('error', () => {})
  const run = async (statement: pg.QueryConfig): Promise<readonly Row[]> => {
    if (pool.waitingCount >= waitingMax) throw new DatabaseOutage(`${waitingMax} statements wait for a connection`)
    try {
      return (await pool.query(statement)).rows as Row[]
    } catch (error) {
      throw namedOutage(error)
    }
  }
  return {
    query: (text, values = []) => run({ text, values: [...values] }),
    queryNamed: (name, text, values) => run({ name, text, values: [...values] }),
    close: () => pool.end(),
  }
}

/**
 * Opens the connection of a writer. A process that is stopped in the middle of a transaction loses it after
 * `idleTimeoutMs`, so that it holds neither head nor lock against the others.
 */
export async function openSession(config: pg.ClientConfig, idleTimeoutMs: number): Promise<Session> {
  const client = new pg.Client({
    ...config,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: writerStatementTimeoutMs,
    idle_in_transaction_session_timeout: idleTimeoutMs,
    keepAlive: true,
  })
  client.on('error', () => {})
  await client.connect().catch((error: unknown) => {
    void client.end().catch(() => {})
    throw error
  })
  // Whatever a database or a role is set to: "logged" is said of what is on the disk.
  await client.query(`select set_config('synchronous_commit', 'on', false)
     where current_setting('synchronous_commit') in ('off', 'local')`)
  await client.query(`set application_name = '${committerName}'; ${pinNames}`)
  const warnings: string[] = []
  client.on('notice', (notice) => {
    // Severities are translated, codes are not: 00000 is what a mere NOTICE has.
    if (notice.code !== '00000') warnings.push(notice.message ?? 'no text')
  })
  return {
    query: async (text, values = []) => (await client.query(text, [...values])).rows as Row[],
    copy: (statement, rows) => copyRows(client, statement, rows),
    commit: () => commitStrictly(client, warnings),
    close: () => client.end(),
  }
}

async function commitStrictly(client: pg.Client, warnings: string[]): Promise<void> {
  warnings.length = 0
  const { command } = await client.query('commit')
  if (command !== 'COMMIT') throw new Error(`commit: the server answered ${command}`)
  if (warnings.length > 0) throw new Error(`commit: the server warned: ${warnings.join('; ')}`)
}

async function copyRows(client: pg.Client, statement: string, rows: Uint8Array): Promise<void> {
  const stream = client.query(copyFrom(statement))
  const finished = once(stream, 'finish')
  // A failure while rows are still being written shows in `finished`; it is awaited below, never left unhandled.
  finished.catch(() => {})
  stream.write(copyHeader)
  for (let at = 0; at < rows.length; at += copyChunkBytes) {
    if (!stream.write(rows.subarray(at, at + copyChunkBytes))) await Promise.race([once(stream, 'drain'), finished])
  }
  stream.end(copyTrailer)
  await finished
}
