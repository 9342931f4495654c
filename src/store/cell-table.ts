/** Where signers remember their last checkpoint in a database that is not the log's: one row a log. */
import { readText } from './row.ts'
import type { Query } from './session.ts'

const schema = 'dendrolog_signer'

/** Makes schema and table; an existing table is enough, so that a login may have no right to more than its row. */
export async function createCellTable(query: Query): Promise<void> {
  const [found] = await query(`select pg_catalog.to_regclass('${schema}.cells') is not null as found`)
  if (found?.found === true) return
  await query(`create schema if not exists ${schema}`)
  await query(
    `create table if not exists ${schema}.cells (
       origin text primary key,
       checkpoint text not null,
       updated_at timestamptz not null default clock_timestamp()
     )`,
  )
}

/** Undefined where there is no row, or no table yet. */
export async function readCellRow(query: Query, origin: string): Promise<string | undefined> {
  const reading = query(`select checkpoint from ${schema}.cells where origin = $1`, [origin])
  const [row] = await reading.catch((error: unknown) => {
    if (isNoTable(error)) return []
    throw error
  })
  return row === undefined ? undefined : readText(row, 'checkpoint')
}

/** SQLSTATE undefined_table (PostgreSQL documentation, appendix A). */
function isNoTable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '42P01'
}

/** Whether the row was made: there was none. */
export async function insertCellRow(query: Query, origin: string, text: string): Promise<boolean> {
  const rows = await query(
    `insert into ${schema}.cells (origin, checkpoint)
     values ($1, $2)
     on conflict do nothing
     returning origin`,
    [origin, text],
  )
  return rows.length === 1
}

// Fence: of two signers that read one text, the second finds it replaced when the first has committed, whatever the
// isolation level says (read committed looks at the new row again, the others fail).
/** Whether the row held `before`, and now `text`. */
export async function replaceCellRow(query: Query, origin: string, before: string, text: string): Promise<boolean> {
  const rows = await query(
    `update ${schema}.cells
     set checkpoint = $3, updated_at = clock_timestamp()
     where origin = $1 and checkpoint = $2
     returning origin`,
    [origin, before, text],
  )
  return rows.length === 1
}

/** Tells databases apart, however they are reached. */
export async function readDatabaseIdentity(query: Query): Promise<string> {
  const [row] = await query(
    `select pg_catalog.current_database() || ' of ' || pg_catalog.pg_postmaster_start_time()::text as identity`,
  )
  return readText(row ?? {}, 'identity')
}
