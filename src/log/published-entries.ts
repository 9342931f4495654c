import { equalBytes } from '../../tlog/bytes.ts'
import { asLeafIndex } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { encodeEntryBundle } from '../../tlog/entry-bundle.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { DamagedEntry, isGone, isNotSigned } from '../store/damaged-entry.ts'
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
 * hashes. Throws DamagedEntry where an entry is not the one in the tree, TlogError where the tree's tiles are wrong.
 */
export async function readEntryBundle(log: PublishedLog, index: number, width: number): Promise<Uint8Array> {
  const first = index * tileWidth + 1
  const { proved, damaged } = await readProvedColumns(log, first, first + width - 1)
  if (damaged[0] !== undefined) throw new DamagedEntry(damaged[0], isNotSigned)
  return encodeEntryBundle(proved.map(({ fields }) => encodeLeaf(fields)))
}

/** Rows of a range, and the numbers of those that are not there or not the ones in the tree. Both in order. */
export type ProvedColumns = { readonly proved: readonly StoredColumns[]; readonly damaged: readonly number[] }

/**
 * All columns of a range but the payload, where they are covered by their leaf and that by the tree. Throws TlogError
 * where the tree's tiles are wrong: then nothing can be said of the rows.
 */
export async function readProvedColumns(log: PublishedLog, from: number, to: number): Promise<ProvedColumns> {
  const rows = await log.reads.readColumns(from, to)
  const strays = new Set(await findStrays(log, rows))
  const proved = rows.filter((row) => !strays.has(row.fields.sequenceNumber) && isOfItsLeaf(row, log.hash))
  const numbers = new Set(proved.map(({ fields }) => fields.sequenceNumber))
  const all = Array.from({ length: to - from + 1 }, (_, i) => from + i)
  return { proved, damaged: all.filter((n) => !numbers.has(n)) }
}

/** The entries of a range, with their payloads. Throws likewise. */
export async function readPublishedEntries(
  log: PublishedLog,
  from: number,
  to: number,
): Promise<readonly EntryWithLeaf[]> {
  const rows = await log.reads.readEntries(from, to)
  checkAllThere(rows, from, to)
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
  const [stray] = await findStrays(log, rows)
  if (stray !== undefined) throw new DamagedEntry(stray, isNotSigned)
  return rows.map((row, i) => ({ entry: checkStoredEntry(row, numberOf(i), log.hash), fields: row.fields }))
}

function isOfItsLeaf(row: StoredColumns, hash: Sha256): boolean {
  try {
    checkStoredColumns(row, row.fields.sequenceNumber, hash)
    return true
  } catch (error) {
    if (error instanceof DamagedEntry) return false
    throw error
  }
}

/**
 * Numbers of the rows whose leaf hash is not the one in the tree. A tile with many of them is read once, and its way up
 * to the signed root checked once: 255 hashes and more. Of others each entry has a proof of its own, which takes 30.
 */
async function findStrays(log: PublishedLog, rows: readonly StoredColumns[]): Promise<readonly number[]> {
  const byTile = new Map<number, StoredColumns[]>()
  for (const row of rows) {
    const tile = Math.floor(indexOf(row) / tileWidth)
    const others = byTile.get(tile)
    if (others === undefined) byTile.set(tile, [row])
    else others.push(row)
  }
  const strays = await Promise.all(
    [...byTile].map(([tile, of]) => (of.length < manyOfTile ? findEach(log, of) : findInTile(log, tile, of))),
  )
  return strays.flat().map(({ fields }) => fields.sequenceNumber)
}

const manyOfTile = 8

async function findInTile(
  { tiles, checkpoint, hash }: PublishedLog,
  tile: number,
  rows: readonly StoredColumns[],
): Promise<readonly StoredColumns[]> {
  const proofs = await TileProofs.open(tiles, tile, checkpoint, hash)
  return rows.filter((row) => !proofs.holdsLeaf(indexOf(row) % tileWidth, row.leafHash))
}

async function findEach(
  { proofs, checkpoint }: PublishedLog,
  rows: readonly StoredColumns[],
): Promise<readonly StoredColumns[]> {
  const strays: StoredColumns[] = []
  for (const row of rows) {
    const { leafHash } = await proofs.prove(asLeafIndex(indexOf(row)), checkpoint)
    if (!equalBytes(leafHash, row.leafHash)) strays.push(row)
  }
  return strays
}

function indexOf({ fields }: StoredColumns): number {
  return fields.sequenceNumber - 1
}

function checkAllThere(rows: readonly StoredColumns[], from: number, to: number): void {
  const found = rows.findIndex(({ fields }, i) => fields.sequenceNumber !== from + i)
  const missing = from + (found < 0 ? rows.length : found)
  if (missing <= to) throw new DamagedEntry(missing, isGone)
}
