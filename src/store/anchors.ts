import type { Schema } from './batch.ts'
import { type Row, readBytes, readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** Outside evidence that a checkpoint existed at a time. */
export type StoredAnchor = {
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
  { checkpointNumber, kind, evidence }: StoredAnchor,
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
    `select checkpoint_number, kind, evidence
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

function anchorOf(row: Row): StoredAnchor {
  return {
    checkpointNumber: readInteger(row, 'checkpoint_number'),
    kind: readText(row, 'kind'),
    evidence: readBytes(row, 'evidence'),
  }
}
