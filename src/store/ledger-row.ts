// One row of audit_logs under COPY, in two parts. The head depends on the entry's place and is written by the
// sequencer; the tail does not, and is written once, when the submission arrives.

import { copyInto, writeUint32 } from '../../tlog/cbor.ts'
import {
  writeBigintField,
  writeBytesField,
  writeFieldCount,
  writeHexField,
  writeNullField,
  writeTimestampField,
} from './copy-binary.ts'

/** The columns in the order of head and tail; `id` is generated. */
export const ledgerColumns: readonly string[] = [
  ...['sequence_number', 'timestamp', 'previous_hash', 'current_hash', 'leaf_hash'],
  ...['event_id', 'occurred_at', 'lamport', 'actor_id', 'action', 'resource'],
  ...['payload', 'client_ip', 'writer', 'source_position', 'payload_hash'],
]

/** 2 of count, 12 + 12 of integers, 68 + 68 of hex, 36 of leaf hash. */
export const rowHeadBytes = 198

/**
 * Writes the head. The previous and the current chain hash stand at `chain[hashStart]` and 32 bytes on, the leaf hash
 * at `leaves[hashStart]`. Returns the position behind.
 */
export function writeRowHead(
  out: Uint8Array,
  at: number,
  sequenceNumber: number,
  timestamp: number,
  chain: Uint8Array,
  hashStart: number,
  leaves: Uint8Array,
): number {
  let to = writeFieldCount(out, at, ledgerColumns.length)
  to = writeBigintField(out, to, sequenceNumber)
  to = writeTimestampField(out, to, timestamp)
  to = writeHexField(out, to, chain, hashStart)
  to = writeHexField(out, to, chain, hashStart + 32)
  return writeBytesField(out, to, leaves, hashStart, hashStart + 32)
}

export function writeIntegerOrNull(out: Uint8Array, at: number, n: number | null): number {
  return n === null ? writeNullField(out, at) : writeBigintField(out, at, n)
}

export function writeTimestampOrNull(out: Uint8Array, at: number, microseconds: number | null): number {
  return microseconds === null ? writeNullField(out, at) : writeTimestampField(out, at, microseconds)
}

/** jsonb: format version 1, then the text bytes[start, end). */
export function writeJsonbField(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  const to = writeUint32(out, at, 1 + end - start)
  out[to] = 1
  return copyInto(out, to + 1, bytes, start, end)
}
