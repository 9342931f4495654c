import { TlogError } from './errors.ts'
import { hashBytes, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import { tileWidth } from './tile.ts'

// C2SP tlog-tiles: a bundle is the entries of 256 consecutive leaves, each behind its length in two bytes, big-endian.
// It carries no count and no checksum.

export const bundleEntryBytesMax = 65_535
const lengthBytes = 2

/** Bytes of a bundle of 1 to 256 entries, each at most 65,535 bytes; throws `malformed-bundle` otherwise. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  checkEntryCount(entries.length)
  const out = new Uint8Array(entries.reduce((sum, entry) => sum + lengthBytes + entry.length, 0))
  let at = 0
  for (const entry of entries) {
    if (entry.length > bundleEntryBytesMax) throw malformed(`entry of ${entry.length} bytes`)
    out[at] = Math.floor(entry.length / 256)
    out[at + 1] = entry.length % 256
    out.set(entry, at + lengthBytes)
    at += lengthBytes + entry.length
  }
  return out
}

/** The entries of a bundle, views of its bytes; throws `malformed-bundle` unless exactly `width` fill it. */
export function decodeEntryBundle(bundle: Uint8Array, width: number): Uint8Array[] {
  const entries = readEntries(bundle, width)
  const end = entries.reduce((sum, entry) => sum + lengthBytes + entry.length, 0)
  if (end !== bundle.length) throw malformed(`${bundle.length - end} bytes after ${width} entries`)
  return entries
}

/** The bundle of the first `width` entries, a view of the bytes; throws `malformed-bundle` where there are fewer. */
export function cutEntryBundle(bundle: Uint8Array, width: number): Uint8Array {
  const end = readEntries(bundle, width).reduce((sum, entry) => sum + lengthBytes + entry.length, 0)
  return bundle.subarray(0, end)
}

/** The tile of level 0 that belongs to a bundle, 32 * `width` bytes; throws `malformed-bundle` as decoding does. */
export function tileOfEntryBundle(bundle: Uint8Array, width: number, hash: Sha256 = nobleSha256): Uint8Array {
  const tile = new Uint8Array(hashBytes * width)
  for (const [slot, entry] of decodeEntryBundle(bundle, width).entries()) {
    tile.set(leafHash(entry, hash), hashBytes * slot)
  }
  return tile
}

function readEntries(bundle: Uint8Array, count: number): Uint8Array[] {
  checkEntryCount(count)
  const entries: Uint8Array[] = []
  for (let at = 0; entries.length < count; ) {
    if (at + lengthBytes > bundle.length) throw malformed(`cut in the length of entry ${entries.length}`)
    const start = at + lengthBytes
    at = start + (bundle[at] as number) * 256 + (bundle[at + 1] as number)
    if (at > bundle.length) throw malformed(`cut in entry ${entries.length}`)
    entries.push(bundle.subarray(start, at))
  }
  return entries
}

function checkEntryCount(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > tileWidth) throw malformed(`${count} entries`)
}

function malformed(what: string): TlogError {
  return new TlogError('malformed-bundle', `entry bundle: ${what}`)
}
