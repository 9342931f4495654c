import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { encodeEntryBundle } from '../../tlog/entry-bundle.ts'
import { TlogError } from '../../tlog/errors.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { tileAtSize, tileWidth } from '../../tlog/tile.ts'
import type { EntryReads, StoredColumns } from '../store/entries.ts'
import type { EntryWithLeaf } from './receipt.ts'
import { checkStoredColumns, checkStoredEntry } from './stored-entry.ts'
import type { TileCache } from './tile-cache.ts'

// Ranges of entries, as auditors read them. Sequence numbers, both ends included, as the store counts; none above the
// size of the newest checkpoint. What is handed out fits its columns, its payload and the leaf hash in the tree.

/**
 * The C2SP entry bundle of `width` entries from leaf index 256 * `index` on. Payloads are not read: the leaf has their
 * hashes. Throws `leaf-mismatch` where an entry is not the one in the tree.
 */
export async function readEntryBundle(
  reads: EntryReads,
  tiles: TileCache,
  index: number,
  width: number,
  hash: Sha256,
): Promise<Uint8Array> {
  const first = index * tileWidth + 1
  const [rows, tile] = await Promise.all([
    reads.readColumnsOf(first, first + width - 1),
    tiles.readTile(0, index, width),
  ])
  checkCount(rows, first, width)
  rows.forEach((row, slot) => {
    checkStoredColumns(row, first + slot, hash)
    checkSlot(tile, slot, row, first + slot)
  })
  return encodeEntryBundle(rows.map(({ fields }) => encodeLeaf(fields)))
}

/** The entries of a range, with their payloads. Throws `leaf-mismatch` or `chain-mismatch` likewise. */
export async function readPublishedEntries(
  reads: EntryReads,
  tiles: TileCache,
  from: number,
  to: number,
  publishedSize: number,
  hash: Sha256,
): Promise<readonly EntryWithLeaf[]> {
  const [rows, leafHashes] = await Promise.all([
    reads.readEntries(from, to),
    readLeafHashes(tiles, from - 1, to, asTreeSize(publishedSize)),
  ])
  checkCount(rows, from, to - from + 1)
  return rows.map((row, i) => {
    const entry = checkStoredEntry(row, from + i, hash)
    checkSlot(leafHashes, i, row, from + i)
    return entry
  })
}

/** Entries by their numbers, with their payloads, in the same order. Throws likewise. */
export async function readEntriesByNumber(
  reads: EntryReads,
  tiles: TileCache,
  numbers: readonly number[],
  publishedSize: number,
  hash: Sha256,
): Promise<readonly CheckedEntry[]> {
  const size = asTreeSize(publishedSize)
  const [rows, inTree] = await Promise.all([
    reads.readEntriesAt(numbers),
    Promise.all(numbers.map((n) => readLeafHashes(tiles, n - 1, n, size))),
  ])
  return rows.map((row, i) => {
    const entry = checkStoredEntry(row, numbers[i] as number, hash)
    checkSlot(inTree[i] as Uint8Array, 0, row, entry.sequenceNumber)
    return { entry, fields: row.fields }
  })
}

/** An entry, and what its leaf says as fields. */
export type CheckedEntry = { readonly entry: EntryWithLeaf; readonly fields: LeafFields }

/** Bytes of the payloads of one answer, where it has more than one. */
export const payloadsBytesMax = 4_194_304

/** How many entries of an answer fit: no more than `bytesMax` bytes of payloads, but one always. */
export function countThatFits(payloadSizes: readonly number[], bytesMax: number): number {
  let bytes = 0
  const tooMany = payloadSizes.findIndex((size, i) => {
    bytes += size
    return i > 0 && bytes > bytesMax
  })
  return tooMany < 0 ? payloadSizes.length : tooMany
}

/** Leaf hashes `lo` to `hi` - 1 of the tree of `size`, from its tiles. */
async function readLeafHashes(tiles: TileCache, lo: number, hi: number, size: TreeSize): Promise<Uint8Array> {
  const out = new Uint8Array(hashBytes * (hi - lo))
  for (let index = Math.floor(lo / tileWidth); index * tileWidth < hi; index++) {
    const { width } = tileAtSize(0, index, size)
    const tile = await tiles.readTile(0, index, width)
    const start = Math.max(lo, index * tileWidth)
    const end = Math.min(hi, index * tileWidth + width)
    const slots = tile.subarray(hashBytes * (start - index * tileWidth), hashBytes * (end - index * tileWidth))
    out.set(slots, hashBytes * (start - lo))
  }
  return out
}

function checkSlot(hashes: Uint8Array, slot: number, { leafHash }: StoredColumns, sequenceNumber: number): void {
  const inTree = hashes.subarray(hashBytes * slot, hashBytes * (slot + 1))
  if (equalBytes(inTree, leafHash)) return
  const [got, want] = [formatHex(leafHash), formatHex(inTree)]
  throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its leaf hash is ${got}, the tree has ${want}`)
}

function checkCount(rows: readonly unknown[], from: number, want: number): void {
  if (rows.length === want) return
  throw new TlogError('leaf-mismatch', `entries from ${from} on: ${rows.length} of ${want} are there`)
}
