import type { Hash } from '../../tlog/hash.ts'
import type { Schema } from './batch.ts'
import { type Row, readBytes, readBytesOrNull, readHash, readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** A signed tree head as it is stored: the note and, of the same head, the RFC 6962 signature. */
export type StoredCheckpoint = {
  /** Counted from 0 without gaps. */
  readonly number: number
  readonly treeSize: number
  readonly root: Hash
  /** Milliseconds since 1970, the STH's. */
  readonly timestampMs: number
  readonly note: string
  /** RFC 5246 DigitallySigned. */
  readonly sthSignature: Uint8Array
  /** Of COSE receipts, 64 bytes; null of a checkpoint from before there were any. */
  readonly coseSignature: Uint8Array | null
}

/** Of `checkpointOf`. */
export const checkpointColumns = 'number, tree_size, root_hash, timestamp_ms, note, sth_signature, cose_signature'

export async function readNewestCheckpoint(query: Query, schema: Schema): Promise<StoredCheckpoint | undefined> {
  const [row] = await query(
    `select ${checkpointColumns}
     from ${schema.evidence}.checkpoints
     order by number desc
     limit 1`,
  )
  return row === undefined ? undefined : checkpointOf(row)
}

/** Up to `limit` checkpoints with numbers above `after`, in order. */
export async function readCheckpointsAfter(
  query: Query,
  schema: Schema,
  after: number,
  limit: number,
): Promise<readonly StoredCheckpoint[]> {
  const rows = await query(
    `select ${checkpointColumns}
     from ${schema.evidence}.checkpoints
     where number > $1
     order by number
     limit $2`,
    [after, limit],
  )
  return rows.map(checkpointOf)
}

/** The newest checkpoint of exactly `size` entries with a number of at most `last`. */
export async function readCheckpointOfSize(
  query: Query,
  schema: Schema,
  size: number,
  last: number,
): Promise<StoredCheckpoint | undefined> {
  const [row] = await query(
    `select ${checkpointColumns}
     from ${schema.evidence}.checkpoints
     where tree_size = $1 and number <= $2
     order by number desc
     limit 1`,
    [size, last],
  )
  return row === undefined ? undefined : checkpointOf(row)
}

/** The newest `limit` checkpoints of at most `size` entries, the newest first. */
export async function readNewestCheckpointsTo(
  query: Query,
  schema: Schema,
  size: number,
  limit: number,
): Promise<readonly StoredCheckpoint[]> {
  const rows = await query(
    `select ${checkpointColumns}
     from ${schema.evidence}.checkpoints
     where tree_size <= $1
     order by number desc
     limit $2`,
    [size, limit],
  )
  return rows.map(checkpointOf)
}

/** Throws RangeError or TypeError where a column holds what we did not write. */
export function checkpointOf(row: Row): StoredCheckpoint {
  return {
    number: readInteger(row, 'number'),
    treeSize: readInteger(row, 'tree_size'),
    root: readHash(row, 'root_hash'),
    timestampMs: readInteger(row, 'timestamp_ms'),
    note: readText(row, 'note'),
    sthSignature: readBytes(row, 'sth_signature'),
    coseSignature: readBytesOrNull(row, 'cose_signature'),
  }
}

// Fence: the primary key lets one signer take a number, and a trigger refuses a number whose predecessor is missing
// and sizes or times that go back.
export async function insertCheckpoint(query: Query, schema: Schema, checkpoint: StoredCheckpoint): Promise<void> {
  await query(
    `insert into ${schema.evidence}.checkpoints (${checkpointColumns})
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [
      ...[checkpoint.number, checkpoint.treeSize, checkpoint.root],
      ...[checkpoint.timestampMs, checkpoint.note, checkpoint.sthSignature],
      checkpoint.coseSignature,
    ],
  )
}
