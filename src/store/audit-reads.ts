// What a verifier reads beside the rows of the ledger, as the auditors' role. A row may hold what no writer of ours
// wrote: it is given as `unreadable` then, and nothing of what is given was checked.
import type { Schema } from './batch.ts'
import { checkpointColumns, checkpointOf, type StoredCheckpoint } from './checkpoints.ts'
import { asNumber, type ReadSession, readBigintField, readBytesField } from './copy-out.ts'
import { type Readable, readable } from './readable.ts'
import { readInteger, readIntegerOrNull, readText } from './row.ts'
import type { Query } from './session.ts'

const safeMax = Number.MAX_SAFE_INTEGER

/** Rows of the ledger above a size: how many, and which are the first and the last. */
export async function readRowsAbove(
  query: Query,
  schema: Schema,
  size: number,
): Promise<{ readonly count: number; readonly first: number; readonly last: number } | undefined> {
  const [row = {}] = await query(
    `select count(*) as count, min(sequence_number) as first, least(max(sequence_number), ${safeMax}) as last
     from ${schema.evidence}.audit_logs
     where sequence_number > $1`,
    [size],
  )
  const count = readInteger(row, 'count')
  if (count === 0) return undefined
  return { count, first: Math.min(Number(row.first), safeMax), last: readInteger(row, 'last') }
}

/** The checkpoints with the highest numbers, the newest first. */
export async function readNewestCheckpoints(
  query: Query,
  schema: Schema,
  limit: number,
): Promise<Readable<StoredCheckpoint>[]> {
  const rows = await query(
    `select ${checkpointColumns}
     from ${schema.evidence}.checkpoints
     order by number desc
     limit $1`,
    [limit],
  )
  return rows.map((row) => readable(row, 'number', checkpointOf))
}

/** Above one, up to another. */
type Span = { readonly above: number; readonly upTo: number }

/** Checkpoints by their numbers, in order; of these sizes, or of all. */
export async function readCheckpoints(
  query: Query,
  schema: Schema,
  numbers: Span,
  limit: number,
  sizes: Span = { above: -1, upTo: safeMax },
): Promise<Readable<StoredCheckpoint>[]> {
  const rows = await query(
    `select ${checkpointColumns}
     from ${schema.evidence}.checkpoints
     where number > $1
       and number <= $2
       and tree_size > $3
       and tree_size <= $4
     order by number
     limit $5`,
    [numbers.above, numbers.upTo, sizes.above, sizes.upTo, limit],
  )
  return rows.map((row) => readable(row, 'number', checkpointOf))
}

/** Numbers of checkpoints that are not there, both ends included. */
export type CheckpointGap = { readonly first: number; readonly last: number }

/** Gaps between the stored checkpoints from number `from` on, and the newest number; null where there is none. */
export async function readCheckpointGaps(
  query: Query,
  schema: Schema,
  from: number,
  limit: number,
): Promise<{ readonly gaps: readonly CheckpointGap[]; readonly newest: number | null }> {
  const rows = await query(
    `with numbered as (
       select ${sayable('number')} as number, lag(number, 1, $1::bigint - 1) over (order by number) as before
       from ${schema.evidence}.checkpoints
       where number >= $1
     )
     select before + 1 as first, number - 1 as last, null::bigint as newest
     from numbered
     where number > before + 1
     union all
     select null, null, max(number)
     from numbered
     order by newest nulls last, first
     limit $2`,
    [from, limit + 1],
  )
  const newest = rows.find((row) => row.newest !== null)
  return {
    gaps: rows
      .filter((row) => row.first !== null)
      .map((row) => ({ first: readInteger(row, 'first'), last: readInteger(row, 'last') })),
    newest: newest === undefined ? null : readInteger(newest, 'newest'),
  }
}

export type TileRow = {
  readonly index: number
  /** 8,192 bytes, where nobody changed what the table takes. */
  readonly hashes: Uint8Array
  readonly midRoots: Uint8Array | undefined
}

/** Stored tiles of a level, `from` to `to` - 1, in order; what is not there is left out. */
export async function readTileRows(
  session: ReadSession,
  schema: Schema,
  level: number,
  from: number,
  to: number,
): Promise<TileRow[]> {
  const rows: TileRow[] = []
  await session.copy(
    `copy (
       select tile_index::bigint, hashes::bytea, mid_roots::bytea
       from ${schema.evidence}.tiles
       where level = ${asNumber(level)} and tile_index >= ${asNumber(from)} and tile_index < ${asNumber(to)}
       order by tile_index
     ) to stdout (format binary)`,
    3,
    (row) => {
      const hashes = readBytesField(row, 1) ?? new Uint8Array(0)
      rows.push({ index: readBigintField(row, 0), hashes, midRoots: readBytesField(row, 2) })
    },
  )
  return rows
}

/** Tiles that are stored although they are not full in a tree of `size` leaves: of each level the first. */
export async function readStrayTiles(
  query: Query,
  schema: Schema,
  size: number,
): Promise<readonly { readonly level: number; readonly index: number }[]> {
  const rows = await query(
    `select l.level, t.tile_index
     from generate_series(0, 7) as l (level)
     cross join lateral (
       select ${sayable('tile_index')} as tile_index
       from ${schema.evidence}.tiles
       where level = l.level and tile_index >= div($1::numeric, power(256::numeric, l.level + 1))
       order by tiles.tile_index
       limit 1
     ) as t`,
    [size],
  )
  return rows.map((row) => ({ level: readInteger(row, 'level'), index: readInteger(row, 'tile_index') }))
}

/** An entry whose id is not the known id of its number. */
export type IdMismatch = {
  readonly sequenceNumber: number
  readonly eventId: string
  /** Under which number the id is known; null where it is not. */
  readonly knownAs: number | null
  /** Whether the entry of that number has the id as well. */
  readonly isTwice: boolean
}

/** Entries of a range that the table of known ids has not, or has otherwise. */
export async function readIdMismatches(
  query: Query,
  schema: Schema,
  above: number,
  upTo: number,
  limit: number,
): Promise<IdMismatch[]> {
  const rows = await query(
    `select a.sequence_number, a.event_id, ${sayable('k.sequence_number')} as known_as,
       exists (
         select
         from ${schema.evidence}.audit_logs o
         where o.sequence_number = k.sequence_number
           and o.event_id = a.event_id
       ) as is_twice
     from ${schema.evidence}.audit_logs a
     left join ${schema.evidence}.entry_ids k on k.event_id = a.event_id
     where a.sequence_number > $1
       and a.sequence_number <= $2
       and k.sequence_number is distinct from a.sequence_number
     order by a.sequence_number
     limit $3`,
    [above, upTo, limit],
  )
  return rows.map((row) => ({
    sequenceNumber: readInteger(row, 'sequence_number'),
    eventId: String(row.event_id),
    knownAs: readIntegerOrNull(row, 'known_as'),
    isTwice: row.is_twice === true,
  }))
}

/** How many ids are known, and how many entries the newest head has, of one moment. */
export async function countKnownIds(
  query: Query,
  schema: Schema,
): Promise<{ readonly known: number; readonly entries: number }> {
  const [row = {}] = await query(
    `select
       (select count(*) from ${schema.evidence}.entry_ids) as known,
       (select least(max(tree_size), ${safeMax}) from ${schema.evidence}.tree_heads) as entries`,
  )
  return { known: readInteger(row, 'known'), entries: readIntegerOrNull(row, 'entries') ?? 0 }
}

/** Known ids of which the ledger has no entry. */
export async function readStrayIds(
  query: Query,
  schema: Schema,
  limit: number,
): Promise<readonly { readonly eventId: string; readonly knownAs: number }[]> {
  const rows = await query(
    `select k.event_id, ${sayable('k.sequence_number')} as known_as
     from ${schema.evidence}.entry_ids k
     where not exists (
       select
       from ${schema.evidence}.audit_logs a
       where a.sequence_number = k.sequence_number
         and a.event_id = k.event_id
     )
     order by k.sequence_number
     limit $1`,
    [limit],
  )
  return rows.map((row) => ({ eventId: readText(row, 'event_id'), knownAs: readInteger(row, 'known_as') }))
}

/** What no number of ours can say is said as the nearest that one can: it is wrong all the same. */
function sayable(column: string): string {
  return `case when ${column} is not null then least(greatest(${column}, -${safeMax}), ${safeMax}) end`
}

/** What tells that rows of a range were changed since they were looked at last, without a look at what they say. */
export type RangeProbe = {
  readonly rows: number
  /** Of the hashes of the rows' places and of the transactions that wrote them, modulo `probeSumMax`. */
  readonly sum: number
}

/** Two of them are added without a loss. */
export const probeSumMax: number = 2 ** 52

/** Of the rows with numbers above one, up to another. `seed`: of the hashes, below 2^53. */
export async function probeRange(
  query: Query,
  schema: Schema,
  { above, upTo }: Span,
  seed: number,
): Promise<RangeProbe> {
  const [row = {}] = await query(
    // Takes as long as a sum of xmin, which who holds transactions open can meet. Bounds as those of partitions, for the
    // planner.
    `select count(*) as rows,
       coalesce(mod(mod(sum(hashtidextended(ctid, xmin::text::bigint # $3::bigint)), $4) + $4, $4), 0) as sum
     from ${schema.evidence}.audit_logs
     where sequence_number >= $1
       and sequence_number < $2`,
    [above + 1, upTo + 1, seed, probeSumMax],
  )
  return { rows: readInteger(row, 'rows'), sum: readInteger(row, 'sum') }
}
