// PostgreSQL's binary COPY format: "PGCOPY\n\377\r\n\0", flags, extension length; per row a 16-bit count of fields,
// per field a 32-bit length (-1 is null) and the bytes; a count of -1 ends it. Text never needs escaping here, and
// what is written is byte for byte what was hashed.
import { writeHex } from '../../tlog/bytes.ts'
import { copyInto, writeUint32, writeUint64 } from '../../tlog/cbor.ts'

/** Signature, flags 0, no header extension. */
export const copyHeader: Uint8Array = Uint8Array.from([
  ...[0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00],
  ...[0, 0, 0, 0],
  ...[0, 0, 0, 0],
])

/** Field count -1: the end of the data. */
export const copyTrailer: Uint8Array = Uint8Array.from([0xff, 0xff])

/** Microseconds from 1970-01-01 to 2000-01-01, the epoch of PostgreSQL's timestamps. */
export const postgresEpochMicroseconds = 946_684_800_000_000

export function writeFieldCount(out: Uint8Array, at: number, count: number): number {
  out[at] = count >> 8
  out[at + 1] = count & 0xff
  return at + 2
}

export function writeNullField(out: Uint8Array, at: number): number {
  return writeUint32(out, at, 0xffffffff)
}

export function writeSmallintField(out: Uint8Array, at: number, n: number): number {
  const to = writeUint32(out, at, 2)
  out[to] = n >> 8
  out[to + 1] = n & 0xff
  return to + 2
}

export function writeBigintField(out: Uint8Array, at: number, n: number): number {
  return writeUint64(out, writeUint32(out, at, 8), n)
}

/** timestamptz from microseconds since 1970. */
export function writeTimestampField(out: Uint8Array, at: number, microseconds: number): number {
  return writeBigintField(out, at, microseconds - postgresEpochMicroseconds)
}

/** bytea, uuid, or text as its UTF-8: the bytes[start, end). */
export function writeBytesField(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  return copyInto(out, writeUint32(out, at, end - start), bytes, start, end)
}

/** A text field: the lower-case hex of the 32 bytes at `hashes[start]`. */
export function writeHexField(out: Uint8Array, at: number, hashes: Uint8Array, start: number): number {
  return writeHex(out, writeUint32(out, at, 64), hashes, start, start + 32)
}
