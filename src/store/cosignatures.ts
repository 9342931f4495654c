import type { Schema } from './batch.ts'
import { readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** A cosigner's signature line of a note, without the line feed. */
export type StoredCosignature = {
  readonly checkpointNumber: number
  /** Key name and key ID as in the verifier key: one name may have several keys. */
  readonly witness: string
  readonly line: string
}

/** One cosignature of a key stands for a checkpoint; what it said again is left out. */
export async function insertCosignatures(
  query: Query,
  schema: Schema,
  cosignatures: readonly StoredCosignature[],
): Promise<void> {
  await query(
    `insert into ${schema.evidence}.cosignatures (checkpoint_number, witness, line)
     select * from unnest($1::bigint[], $2::text[], $3::text[])
     on conflict do nothing`,
    [
      cosignatures.map(({ checkpointNumber }) => checkpointNumber),
      cosignatures.map(({ witness }) => witness),
      cosignatures.map(({ line }) => line),
    ],
  )
}

/** Of the checkpoints with numbers from `first` to `last`, in order; at most `limit`, the newest. */
export async function readCosignatures(
  query: Query,
  schema: Schema,
  first: number,
  last: number,
  limit: number,
): Promise<readonly StoredCosignature[]> {
  const rows = await query(
    `select checkpoint_number, witness, line
     from ${schema.evidence}.cosignatures
     where checkpoint_number between $1 and $2
     order by checkpoint_number desc, witness
     limit $3`,
    [first, last, limit],
  )
  return rows
    .map((row) => ({
      checkpointNumber: readInteger(row, 'checkpoint_number'),
      witness: readText(row, 'witness'),
      line: readText(row, 'line'),
    }))
    .reverse()
}
