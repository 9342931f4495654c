// Hashes of rows, as bytes and as text.
import { formatHex } from '../../tlog/bytes.ts'
import { hashBytes } from '../../tlog/hash.ts'
import type { CopiedRow } from '../store/copy-out.ts'
import { lengthOf, startOf } from './row-hashes.ts'

export const hexBytes: number = 2 * hashBytes

/** Texts as evidence: of a hash at most 128 characters, whatever they are. */
export function readText(row: CopiedRow, name: 'previousHash' | 'currentHash'): string | undefined {
  const length = lengthOf(row, name)
  if (length < 0) return undefined
  const start = startOf(row, name)
  return new TextDecoder().decode(row.bytes.subarray(start, start + Math.min(length, 2 * hexBytes)))
}

export function copyHash(row: CopiedRow, start: number, out: Uint8Array, place: number): void {
  for (let i = 0, to = place * hashBytes; i < hashBytes; i++) out[to + i] = row.bytes[start + i] as number
}

export function hexAt(bytes: Uint8Array, at: number): string {
  return formatHex(bytes.subarray(at, at + hashBytes))
}

export function hexOrNull(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : formatHex(bytes)
}
