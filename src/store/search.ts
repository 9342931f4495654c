import type { Hash } from '../../tlog/hash.ts'
import type { Schema } from './batch.ts'
import { readBoolean, readInteger } from './row.ts'
import type { NamedQuery, Query } from './session.ts'

// The search tables: a copy of what entries are searched by, in segments of 131,072 entries. No evidence: what is found
// here is compared with the ledger before it is served.

/** Copies up to `rowsMax` entries into the search tables, none above `upTo`; the number of the last that is there. */
export async function extendSearch(query: Query, schema: Schema, upTo: number, rowsMax: number): Promise<number> {
  const [row] = await query(`select ${schema.state}.extend_search($1, $2) as position`, [upTo, rowsMax])
  return readInteger(row ?? {}, 'position')
}

/** Makes one index of the first full segment that has not all of them; false where none is left. */
export async function indexSearch(query: Query, schema: Schema): Promise<boolean> {
  const [row] = await query(`select ${schema.state}.index_search() as made`)
  return readBoolean(row ?? {}, 'made')
}

/** Makes one index of the last segment where that has `rowsMin` rows and is not full; false where none is left. */
export async function indexSearchTail(query: Query, schema: Schema, rowsMin: number): Promise<boolean> {
  const [row] = await query(`select ${schema.state}.index_search_tail($1) as made`, [rowsMin])
  return readBoolean(row ?? {}, 'made')
}

/** The number of the last entry in the search tables; 0 where there is none yet. */
export async function readSearchPosition(query: Query, schema: Schema): Promise<number> {
  const [row] = await query(`select position from ${schema.state}.positions where follower = 'search'`)
  return row === undefined ? 0 : readInteger(row, 'position')
}

/** Columns by which entries are found. */
export const searchColumns = ['actor_id', 'action', 'resource', 'client_ip', 'writer'] as const

/** What an entry must have; a prefix is compared byte by byte, in UTF-8. */
export type Condition = {
  readonly column: (typeof searchColumns)[number]
  readonly kind: 'equal' | 'prefix'
  readonly text: string
}

/** Sequence numbers `above` < n <= `upTo`. */
export type NumberRange = { readonly above: number; readonly upTo: number }

/** Numbers of up to `limit` entries of a range that have all of it, in order. */
export async function findNumbers(
  query: Query,
  schema: Schema,
  conditions: readonly Condition[],
  { above, upTo }: NumberRange,
  order: 'asc' | 'desc',
  limit: number,
): Promise<number[]> {
  const texts = conditions.map(({ kind, text }) => (kind === 'equal' ? text : `${escapeLike(text)}%`))
  const clauses = conditions.map(({ column, kind }, i) => `and ${column} ${kind === 'equal' ? '=' : 'like'} $${i + 4}`)
  const rows = await query(
    `select sequence_number
     from ${schema.state}.search
     where sequence_number > $1 and sequence_number <= $2
       ${clauses.join('\n       ')}
     order by sequence_number ${order}
     limit $3`,
    [above, upTo, limit, ...texts],
  )
  return rows.map((row) => readInteger(row, 'sequence_number'))
}

/** The lowest number of an entry up to `upTo` with this leaf hash. */
export async function findLeaf(
  query: NamedQuery,
  schema: Schema,
  leaf: Hash,
  upTo: number,
): Promise<number | undefined> {
  // By name: planned each time, it takes 20 ms more for the segments of ten million entries.
  const [row] = await query(
    `leaf ${schema.state}`.slice(0, 63),
    `select min(sequence_number) as sequence_number
     from ${schema.state}.search
     where substr(leaf_hash, 1, 8) = $1 and leaf_hash = $2 and sequence_number <= $3
     having count(*) > 0`,
    [leaf.subarray(0, 8), leaf, upTo],
  )
  return row === undefined ? undefined : readInteger(row, 'sequence_number')
}

/** The first entry of a range with a time from `microseconds` on; `upTo` + 1 where there is none. */
export async function findFirstFrom(
  query: Query,
  schema: Schema,
  microseconds: number,
  { above, upTo }: NumberRange,
): Promise<number> {
  const [row] = await query(
    `select ${schema.state}.search_from_time(
       timestamptz '1970-01-01 00:00:00+00' + $1::bigint * interval '1 microsecond', $2, $3) as sequence_number`,
    [microseconds, above, upTo],
  )
  return readInteger(row ?? {}, 'sequence_number')
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, '\\$&')
}
