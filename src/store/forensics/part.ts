// Parts of a forensic export: what a statement finds, row by row as it is stored. Nothing is checked or turned into
// values of ours: rows may hold what no writer of ours wrote.
import type { ReadSession } from '../copy-out.ts'
import { readText } from '../row.ts'

export type Part = {
  /** File name without its ending. */
  readonly name: string
  /** For people: what its lines are. */
  readonly what: string
  /** Selects one column `line`, JSON text without line feeds. */
  readonly statement: string
  readonly values: readonly unknown[]
}

/** A row above this is told by its size, its hash and its beginning. */
const rowBytesMax = 4_194_304
const rowCharactersShown = 10_000
const statementTimeoutMs = 300_000

/**
 * A row of `alias` as JSON: table, place and transaction of the stored version, its columns, and its text as PostgreSQL
 * writes it, in which NULL is not JSON's null. Goes with `saidOf` in `from`.
 */
export function lineOf(alias: string): string {
  return `(jsonb_build_object('table', ${alias}.tableoid::regclass::text, 'ctid', ${alias}.ctid::text, 'xmin', ${alias}.xmin::text)
    || case
      when octet_length(said.text) <= ${rowBytesMax} then
        jsonb_build_object('row', to_jsonb(${alias}), 'text', said.text)
      else
        jsonb_build_object(
          'bytes', octet_length(said.text),
          'sha256', encode(sha256(convert_to(said.text, 'UTF8')), 'hex'),
          'begins', left(said.text, ${rowCharactersShown}))
    end)::text as line`
}

/** Computed once a row. */
export function saidOf(alias: string): string {
  return `cross join lateral (select ${alias}::text as text offset 0) as said`
}

/** Does `work` with all that is read of one moment. Nobody else uses the session then. */
export async function ofOneMoment<T>({ query }: ReadSession, work: () => Promise<T>): Promise<T> {
  await query('begin isolation level repeatable read read only')
  await query(`set local statement_timeout = ${statementTimeoutMs}; set local search_path = pg_catalog`)
  try {
    return await work()
  } finally {
    await query('rollback').catch(() => {})
  }
}

/**
 * Lines of a part, each with its line feed, of the moment of the session's transaction, which goes on where the statement
 * fails. A part that is not read to its end must be `return`ed. One row is read at a time: those before a damaged one come.
 */
export async function* readPart({ query }: ReadSession, { statement, values }: Part): AsyncGenerator<string> {
  await query('savepoint part')
  try {
    await query(`declare part no scroll cursor for ${statement}`, values)
    for (;;) {
      const [row] = await query('fetch next from part')
      if (row === undefined) return
      yield `${readText(row, 'line')}\n`
    }
  } finally {
    await query('rollback to savepoint part').catch(() => {})
  }
}
