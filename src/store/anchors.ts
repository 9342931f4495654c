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

/** The anchors of the first checkpoints with numbers from `first` on that have any, in order; at most `limit` anchors. */
export async function readAnchorsFrom(
  query: Query,
  schema: Schema,
  first: number,
  limit: number,
): Promise<readonly StoredAnchor[]> {
  const rows = await query(
    `select checkpoint_number, kind, evidence
     from ${schema.evidence}.anchors
     where checkpoint_number >= $1
     order by checkpoint_number, kind
     limit $2`,
    [first, limit],
  )
  return rows.map(anchorOf)
}

function anchorOf(row: Row): StoredAnchor {
  return {
    checkpointNumber: readInteger(row, 'checkpoint_number'),
    kind: readText(row, 'kind'),
    evidence: readBytes(row, 'evidence'),
  }
}
