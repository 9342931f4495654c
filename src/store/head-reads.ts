// Heads as a verifier reads them, as the auditors' role.
import type { Schema, TreeHead } from './batch.ts'
import { headOf } from './heads.ts'
import { type Readable, readable } from './readable.ts'
import { readIntegerOrNull } from './row.ts'
import type { Query } from './session.ts'

const headColumns = 'tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal'

/** The newest heads, the newest first. */
export async function readNewestHeads(query: Query, schema: Schema, limit: number): Promise<Readable<TreeHead>[]> {
  const rows = await query(
    `select ${headColumns}
     from ${schema.evidence}.tree_heads
     order by tree_size desc
     limit $1`,
    [limit],
  )
  return rows.map((row) => readable(row, 'tree_size', headOf))
}

/** Heads of sizes above `above`, up to `upTo`, in order. */
export async function readHeads(
  query: Query,
  schema: Schema,
  above: number,
  upTo: number,
  limit: number,
): Promise<Readable<TreeHead>[]> {
  const rows = await query(
    `select ${headColumns}
     from ${schema.evidence}.tree_heads
     where tree_size > $1 and tree_size <= $2
     order by tree_size
     limit $3`,
    [above, upTo, limit],
  )
  return rows.map((row) => readable(row, 'tree_size', headOf))
}

/** The same from the largest down. */
export async function readHeadsDown(
  query: Query,
  schema: Schema,
  above: number,
  upTo: number,
  limit: number,
): Promise<Readable<TreeHead>[]> {
  const rows = await query(
    `select ${headColumns}
     from ${schema.evidence}.tree_heads
     where tree_size > $1 and tree_size <= $2
     order by tree_size desc
     limit $3`,
    [above, upTo, limit],
  )
  return rows.map((row) => readable(row, 'tree_size', headOf))
}

/** Size of the largest head above `above` and up to `upTo`; of the next one where none is there, undefined without any. */
export async function readHeadSize(
  query: Query,
  schema: Schema,
  above: number,
  upTo: number,
): Promise<number | undefined> {
  const heads = `select tree_size from ${schema.evidence}.tree_heads where tree_size > $1 and tree_size <= ${Number.MAX_SAFE_INTEGER}`
  const [row = {}] = await query(
    `select coalesce(
       (${heads} and tree_size <= $2 order by tree_size desc limit 1),
       (${heads} order by tree_size limit 1)) as size`,
    [above, upTo],
  )
  return readIntegerOrNull(row, 'size') ?? undefined
}

/** The head of a size, or the newest one below it; undefined where there is none. */
export async function readHeadUpTo(
  query: Query,
  schema: Schema,
  size: number,
): Promise<Readable<TreeHead> | undefined> {
  const [row] = await query(
    `select ${headColumns}
     from ${schema.evidence}.tree_heads
     where tree_size <= $1
     order by tree_size desc
     limit 1`,
    [size],
  )
  return row === undefined ? undefined : readable(row, 'tree_size', headOf)
}
