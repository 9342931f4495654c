// The one place where values of the driver become ours. node-postgres hands int8 over as text, bytea as Buffer.
import { type Hash, hashBytes } from '../../tlog/hash.ts'

export type Row = Readonly<Record<string, unknown>>

/** A bigint column as a number; the database holds none above 2^53-1 that we wrote. */
export function readInteger(row: Row, column: string): number {
  const value = row[column]
  const n = Number(typeof value === 'string' || typeof value === 'number' ? value : Number.NaN)
  // Number() reads 0 from an empty text too, and 16 from 0x10.
  if (!Number.isSafeInteger(n) || String(n) !== String(value)) throw new RangeError(`column ${column}: got ${value}`)
  return n
}

export function readIntegerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : readInteger(row, column)
}

export function readText(row: Row, column: string): string {
  const text = row[column]
  if (typeof text !== 'string') throw new TypeError(`column ${column}: got ${typeof text}, want text`)
  return text
}

export function readTextOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : readText(row, column)
}

export function readBytes(row: Row, column: string): Uint8Array {
  const bytes = row[column]
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`column ${column}: got ${typeof bytes}, want bytea`)
  return bytes
}

export function readBytesOrNull(row: Row, column: string): Uint8Array | null {
  return row[column] === null ? null : readBytes(row, column)
}

export function readHash(row: Row, column: string): Hash {
  const bytes = readBytes(row, column)
  if (bytes.length !== hashBytes) throw new RangeError(`column ${column}: got ${bytes.length} bytes, want 32`)
  return bytes as Hash
}

export function readBoolean(row: Row, column: string): boolean {
  const value = row[column]
  if (typeof value !== 'boolean') throw new TypeError(`column ${column}: got ${typeof value}, want boolean`)
  return value
}
