import type { Schema } from './batch.ts'
import { readInteger, readTextOrNull } from './row.ts'
import type { NumberRange } from './search.ts'
import type { Query } from './session.ts'

// The search tables as whoever compares them with the ledger reads them: nothing of them is believed.

/** Columns of a row beside its number: `timestamp` is microseconds since 1970, `leaf_hash` is hex. */
export const comparedColumns: readonly string[] = [
  ...['timestamp', 'actor_id', 'action', 'resource', 'client_ip', 'writer', 'leaf_hash'],
]

/** A row of the search tables, its values as text. */
export type SearchRow = {
  readonly sequenceNumber: number
  readonly values: Readonly<Record<string, string | null>>
}

/** All rows of a range, in order. Values that no entry can have are text like any other. */
export async function readSearchRows(query: Query, schema: Schema, { above, upTo }: NumberRange): Promise<SearchRow[]> {
  const rows = await query(
    `select sequence_number, trunc(extract(epoch from timestamp) * 1000000)::text as timestamp,
       actor_id, action, resource, client_ip, writer, encode(leaf_hash, 'hex') as leaf_hash
     from ${schema.state}.search
     where sequence_number > $1 and sequence_number <= $2
     order by sequence_number`,
    [above, upTo],
  )
  return rows.map((row) => ({
    sequenceNumber: readInteger(row, 'sequence_number'),
    values: Object.fromEntries(comparedColumns.map((column) => [column, readTextOrNull(row, column)])),
  }))
}

/** Makes the rows of a range, which lies in one segment, anew from the ledger. */
export async function rebuildSearch(query: Query, schema: Schema, { above, upTo }: NumberRange): Promise<void> {
  await query(`select ${schema.state}.rebuild_search($1, $2)`, [above, upTo])
}

/** Removes rows of numbers that nothing was copied to; how many there were. */
export async function trimSearch(query: Query, schema: Schema): Promise<number> {
  const [row] = await query(`select ${schema.state}.trim_search() as removed`)
  return readInteger(row ?? {}, 'removed')
}

/** Where the two walks over the search tables stand; 0 where they have not begun. */
export type ProofPositions = { readonly proven: number; readonly round: number }

const follower = { proven: 'search-proven', round: 'search-round' } as const

export async function readProofPositions(query: Query, schema: Schema): Promise<ProofPositions> {
  const rows = await query(`select follower, position from ${schema.state}.positions where follower = any($1)`, [
    Object.values(follower),
  ])
  const positionOf = (name: string): number => {
    const row = rows.find((each) => each.follower === name)
    return row === undefined ? 0 : readInteger(row, 'position')
  }
  return { proven: positionOf(follower.proven), round: positionOf(follower.round) }
}

export async function saveProofPositions(
  query: Query,
  schema: Schema,
  { proven, round }: ProofPositions,
): Promise<void> {
  await query(
    `insert into ${schema.state}.positions (follower, position)
     values ($1, $2), ($3, $4)
     on conflict (follower) do update
     set position = excluded.position,
         updated_at = clock_timestamp()`,
    [follower.proven, proven, follower.round, round],
  )
}
