import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { encodeEntryBundle } from '../../tlog/entry-bundle.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { EntryReads, StoredColumns, StoredEntry } from '../store/entries.ts'
import type { EntryWithLeaf } from './receipt.ts'
import { checkStoredColumns, checkStoredEntry } from './stored-entry.ts'
import type { TileCache } from './tile-cache.ts'
import { TileProofs } from './tile-proofs.ts'
import type { TreeProofs } from './tree-proofs.ts'

// Many entries at once, as auditors read them. Sequence numbers, both ends included, as the store counts; none above
// the size of the checkpoint. What is handed out fits its columns, its payload, and the tree that was signed.

/** An entry, and what its leaf says as fields. */
export type CheckedEntry = { readonly entry: EntryWithLeaf; readonly fields: LeafFields }

/** What all of them are read from and checked with. */
export type PublishedLog = {
  readonly reads: EntryReads
  readonly tiles: TileCache
  readonly proofs: TreeProofs
  readonly checkpoint: StoredCheckpoint
  readonly hash: Sha256
}

/**
 * The C2SP entry bundle of `width` entries from leaf index 256 * `index` on. Payloads are not read: the leaf has their
 * hashes. Throws `leaf-mismatch` where an entry is not the one in the tree.
 */
export async function readEntryBundle(log: PublishedLog, index: number, width: number): Promise<Uint8Array> {
  const first = index * tileWidth + 1
  const rows = await readPublishedColumns(log, first, first + width - 1)
  return encodeEntryBundle(rows.map(({ fields }) => encodeLeaf(fields)))
}

/** All columns of a range but the payload, each covered by its leaf and that by the tree. Throws likewise. */
export async function readPublishedColumns(
  log: PublishedLog,
  from: number,
  to: number,
): Promise<readonly StoredColumns[]> {
  const rows = await log.reads.readColumns(from, to)
  checkCount(rows, from, to - from + 1)
  await checkInTree(log, rows)
  rows.forEach((row, i) => {
    checkStoredColumns(row, from + i, log.hash)
  })
  return rows
}

/** The entries of a range, with their payloads. Throws `leaf-mismatch` or `chain-mismatch` likewise. */
export async function readPublishedEntries(
  log: PublishedLog,
  from: number,
  to: number,
): Promise<readonly EntryWithLeaf[]> {
  const rows = await log.reads.readEntries(from, to)
  checkCount(rows, from, to - from + 1)
  return (await checkEntries(log, rows, (i) => from + i)).map(({ entry }) => entry)
}

/** Entries by their numbers, with their payloads, in the same order. Throws likewise. */
export async function readEntriesByNumber(
  log: PublishedLog,
  numbers: readonly number[],
): Promise<readonly CheckedEntry[]> {
  return checkEntries(log, await log.reads.readEntriesAt(numbers), (i) => numbers[i] as number)
}

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

async function checkEntries(
  log: PublishedLog,
  rows: readonly StoredEntry[],
  numberOf: (i: number) => number,
): Promise<readonly CheckedEntry[]> {
  await checkInTree(log, rows)
  return rows.map((row, i) => ({ entry: checkStoredEntry(row, numberOf(i), log.hash), fields: row.fields }))
}

/**
 * A tile with many of them is read once, and its way up to the signed root checked once: 255 hashes and more. Of others
 * each entry has a proof of its own, which takes 30.
 */
async function checkInTree(log: PublishedLog, rows: readonly StoredColumns[]): Promise<void> {
  const byTile = new Map<number, StoredColumns[]>()
  for (const row of rows) {
    const tile = Math.floor(indexOf(row) / tileWidth)
    const others = byTile.get(tile)
    if (others === undefined) byTile.set(tile, [row])
    else others.push(row)
  }
  await Promise.all(
    [...byTile].map(([tile, of]) => (of.length < manyOfTile ? checkEach(log, of) : checkTile(log, tile, of))),
  )
}

const manyOfTile = 8

async function checkTile(
  { tiles, checkpoint, hash }: PublishedLog,
  tile: number,
  rows: readonly StoredColumns[],
): Promise<void> {
  const proofs = await TileProofs.open(tiles, tile, checkpoint, hash)
  for (const row of rows) proofs.checkLeaf(indexOf(row) % tileWidth, row.leafHash)
}

async function checkEach({ proofs, checkpoint }: PublishedLog, rows: readonly StoredColumns[]): Promise<void> {
  for (const row of rows) {
    const { leafHash } = await proofs.prove(asLeafIndex(indexOf(row)), checkpoint)
    if (equalBytes(leafHash, row.leafHash)) continue
    const [held, wanted] = [formatHex(leafHash), formatHex(row.leafHash)]
    throw new TlogError('leaf-mismatch', `leaf ${indexOf(row)} of the tree is ${held}, the entry's leaf hash ${wanted}`)
  }
}

function indexOf({ fields }: StoredColumns): number {
  return fields.sequenceNumber - 1
}

function checkCount(rows: readonly unknown[], from: number, want: number): void {
  if (rows.length === want) return
  throw new TlogError('leaf-mismatch', `entries from ${from} on: ${rows.length} of ${want} are there`)
}
