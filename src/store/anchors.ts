import type { Schema } from './batch.ts'
import { type Row, readBytes, readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** Outside evidence that a checkpoint existed at a time. */
export type StoredAnchor = NewAnchor & {
  /** UUIDv7: in the order in which they were stored. */
  readonly id: string
}

export type NewAnchor = {
  readonly checkpointNumber: number
  /** What it is, and whose: `rfc3161/NAME`. */
  readonly kind: string
  readonly evidence: Uint8Array
}

/** `id`: a UUID as text. */
export async function insertAnchor(
  query: Query,
  schema: Schema,
  id: string,
  { checkpointNumber, kind, evidence }: NewAnchor,
): Promise<void> {
  await query(
    `insert into ${schema.evidence}.anchors (anchor_id, checkpoint_number, kind, evidence)
     values ($1, $2, $3, $4)`,
    [id, checkpointNumber, kind, evidence],
  )
}

/** Entries under the newest checkpoint with an anchor of this kind; 0 where none has one. */
export async function readAnchoredSize(query: Query, schema: Schema, kind: string): Promise<number> {
  const [row] = await query(
    `select c.tree_size
     from ${schema.evidence}.checkpoints c
     where c.number = (
       select max(checkpoint_number)
       from ${schema.evidence}.anchors
       where kind = $1
     )`,
    [kind],
  )
  return row === undefined ? 0 : readInteger(row, 'tree_size')
}

/** The anchors of these checkpoints, by number and kind; at most `limit`. */
export async function readAnchorsOf(
  query: Query,
  schema: Schema,
  checkpointNumbers: readonly number[],
  limit: number,
): Promise<readonly StoredAnchor[]> {
  const rows = await query(
    `select anchor_id, checkpoint_number, kind, evidence
     from ${schema.evidence}.anchors
     where checkpoint_number = any ($1::bigint[])
     order by checkpoint_number, kind
     limit $2`,
    [checkpointNumbers, limit],
  )
  return rows.map(anchorOf)
}

/** Of each kind the first checkpoint of at least `size` entries that has such an anchor; numbers, in order. */
export async function readFirstAnchored(query: Query, schema: Schema, size: number): Promise<readonly number[]> {
  const rows = await query(
    `with first as (
       select number
       from ${schema.evidence}.checkpoints
       where tree_size >= $1
       order by tree_size, number
       limit 1
     ), kinds as (
       select distinct kind
       from ${schema.evidence}.anchors
       where not starts_with(kind, 'rfc3161-renewal/')
     )
     select distinct (
       select min(a.checkpoint_number)
       from ${schema.evidence}.anchors a
       where a.kind = k.kind
         and a.checkpoint_number >= f.number
     ) as number
     from kinds k, first f
     order by number`,
    [size],
  )
  return rows.flatMap((row) => (row.number === null ? [] : [readInteger(row, 'number')]))
}

/**
 * Anchors of the kind `kind`, and of kinds that begin with `prefix` and end with `suffix`, behind `after`, in order; none
 * of the last seconds, behind which another server might still put one.
 */
export async function readAnchorsAfter(
  query: Query,
  schema: Schema,
  { kind, prefix, suffix }: { readonly kind: string; readonly prefix: string; readonly suffix: string },
  after: string,
  limit: number,
): Promise<readonly StoredAnchor[]> {
  const rows = await query(
    `select anchor_id, checkpoint_number, kind, evidence
     from ${schema.evidence}.anchors
     where anchor_id > $1
       and (kind = $2 or (starts_with(kind, $3) and right(kind, length($4)) = $4))
       and created_at < now() - interval '10 seconds'
     order by anchor_id
     limit $5`,
    [after, kind, prefix, suffix, limit],
  )
  return rows.map(anchorOf)
}

/** The newest anchor of the kinds that begin so. */
export async function readNewestAnchor(
  query: Query,
  schema: Schema,
  prefix: string,
): Promise<StoredAnchor | undefined> {
  const [row] = await query(
    `select anchor_id, checkpoint_number, kind, evidence
     from ${schema.evidence}.anchors
     where starts_with(kind, $1)
     order by anchor_id desc
     limit 1`,
    [prefix],
  )
  return row === undefined ? undefined : anchorOf(row)
}

/** The first anchors of the kinds that begin so, of this checkpoint or later ones; at most `limit`. */
export async function readAnchorsFrom(
  query: Query,
  schema: Schema,
  prefix: string,
  checkpointNumber: number,
  limit: number,
): Promise<readonly StoredAnchor[]> {
  const rows = await query(
    `select anchor_id, checkpoint_number, kind, evidence
     from ${schema.evidence}.anchors
     where starts_with(kind, $1)
       and checkpoint_number >= $2
     order by checkpoint_number, anchor_id
     limit $3`,
    [prefix, checkpointNumber, limit],
  )
  return rows.map(anchorOf)
}

function anchorOf(row: Row): StoredAnchor {
  return {
    id: readText(row, 'anchor_id'),
    checkpointNumber: readInteger(row, 'checkpoint_number'),
    kind: readText(row, 'kind'),
    evidence: readBytes(row, 'evidence'),
  }
}
