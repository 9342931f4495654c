// What a verifier reads of outside evidence. Nothing of what is given was checked.
import type { Schema } from './batch.ts'
import { type Row, readBytes, readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

export type AnchorOfNote = { readonly checkpoint: number; readonly kind: string } & (
  | { readonly note: string; readonly evidence: Uint8Array }
  /** A column holds what nobody of us wrote, or there is no such checkpoint. */
  | { readonly reason: string }
)

export type CosignatureOfNote = { readonly checkpoint: number; readonly witness: string } & (
  | { readonly note: string; readonly line: string }
  | { readonly reason: string }
)

/** Where reading of anchors goes on: in the order of their checkpoints. */
export type AnchorPlace = { readonly checkpoint: number; readonly id: string }

/** Before all anchors of a checkpoint. */
export function beforeAnchorsOf(checkpoint: number): AnchorPlace {
  return { checkpoint, id: '00000000-0000-0000-0000-000000000000' }
}

/** Up to `limit` anchors behind `after`, in order, with the notes that they are of; `last` is where the next ones begin. */
export async function readAnchorsWithNotes(
  query: Query,
  schema: Schema,
  after: AnchorPlace,
  limit: number,
): Promise<{ readonly anchors: readonly AnchorOfNote[]; readonly last: AnchorPlace | undefined }> {
  const rows = await query(
    `select a.anchor_id, a.checkpoint_number, a.kind, a.evidence, c.note
     from ${schema.evidence}.anchors a
     left join ${schema.evidence}.checkpoints c on c.number = a.checkpoint_number
     where (a.checkpoint_number, a.anchor_id) > ($1, $2)
     order by a.checkpoint_number, a.anchor_id
     limit $3`,
    [after.checkpoint, after.id, limit],
  )
  const last = rows.at(-1)
  const place = last && { checkpoint: Number(last.checkpoint_number), id: readText(last, 'anchor_id') }
  return { anchors: rows.map(anchorOf), last: place }
}

/** Cosignatures of the checkpoints `first` to `last`, in order, with the notes that they are of. */
export async function readCosignaturesWithNotes(
  query: Query,
  schema: Schema,
  first: number,
  last: number,
): Promise<readonly CosignatureOfNote[]> {
  const rows = await query(
    `select s.checkpoint_number, s.witness, s.line, c.note
     from ${schema.evidence}.cosignatures s
     left join ${schema.evidence}.checkpoints c on c.number = s.checkpoint_number
     where s.checkpoint_number between $1 and $2
     order by s.checkpoint_number, s.witness`,
    [first, last],
  )
  return rows.map(cosignatureOf)
}

function anchorOf(row: Row): AnchorOfNote {
  const place = { checkpoint: Number(row.checkpoint_number), kind: String(row.kind) }
  return readOrReason(place, () => ({ note: noteOf(row), evidence: readBytes(row, 'evidence') }))
}

function cosignatureOf(row: Row): CosignatureOfNote {
  const place = { checkpoint: readInteger(row, 'checkpoint_number'), witness: String(row.witness) }
  return readOrReason(place, () => ({ note: noteOf(row), line: readText(row, 'line') }))
}

function readOrReason<P, T>(place: P, read: () => T): P & (T | { readonly reason: string }) {
  try {
    return { ...place, ...read() }
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error
    return { ...place, reason: error.message }
  }
}

function noteOf(row: Row): string {
  if (row.note === null) throw new TypeError('its checkpoint is not there')
  return readText(row, 'note')
}
