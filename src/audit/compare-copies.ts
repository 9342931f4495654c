import { compareTrees, type LeafDifference, readRoot, type TileMisfit } from '../../tlog/bisect.ts'
import { equalBytes } from '../../tlog/bytes.ts'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { type Hash, hashBytes, type Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { tileAtSize, tileWidth } from '../../tlog/tile.ts'
import { readCheckpoints } from '../store/audit-reads.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import { readNewestCheckpoint } from '../store/checkpoints.ts'
import { readNewestHeads } from '../store/head-reads.ts'
import type { Query } from '../store/session.ts'
import { openTileStore } from '../store/tile-store.ts'

/** A second copy of the log's tiles: a mirror, an archive, files. */
export type SecondCopy = {
  readonly reader: TileReader
  readonly size: TreeSize
  /** Of its checkpoint, whose signature was checked; undefined of a copy without one. */
  readonly root: Hash | undefined
}

export type CopyComparison = {
  /** Entries that both have, and that were compared. */
  readonly comparedSize: TreeSize
  readonly databaseSize: TreeSize
  readonly copySize: TreeSize
  readonly leaves: readonly LeafDifference[]
  /** Whether there are more. */
  readonly isCut: boolean
  /** `first` is the database. */
  readonly misfits: readonly TileMisfit[]
  /** Whose last tiles do not make the root of its own head or checkpoint. */
  readonly rootless: readonly ('database' | 'copy')[]
  /** The first stored checkpoint that is not of the copy's tree. */
  readonly wrongCheckpoint: { readonly number: number; readonly treeSize: number } | undefined
  readonly tilesRead: number
}

const leavesMax = 10_000

/** Compares the tiles in the database with a second copy, which is the one that is believed where it is signed. */
export async function compareWithCopy(
  query: Query,
  schema: Schema,
  copy: SecondCopy,
  sha256: Sha256,
): Promise<CopyComparison> {
  const head = await readHead(query, schema)
  const databaseSize = asTreeSize(head?.treeSize ?? 0)
  const database = openTileStore(query, schema, sha256)
  const reader = tilesOfNewest(copy)
  const comparedSize = asTreeSize(Math.min(databaseSize, copy.size))
  const { leaves, misfits, isCut, reads } = await compareTrees(database, reader, comparedSize, leavesMax, sha256)
  const rootless: ('database' | 'copy')[] = []
  if (!(await makesRoot(database, databaseSize, head?.root, sha256))) rootless.push('database')
  if (!(await makesRoot(reader, copy.size, copy.root, sha256))) rootless.push('copy')
  return {
    ...{ comparedSize, databaseSize, leaves, misfits, isCut, rootless },
    copySize: copy.size,
    wrongCheckpoint: await findWrongCheckpoint(query, schema, { ...copy, reader }, sha256),
    tilesRead: 2 * reads,
  }
}

export function isSame({
  leaves,
  misfits,
  rootless,
  wrongCheckpoint,
  databaseSize,
  copySize,
}: CopyComparison): boolean {
  const findings = leaves.length + misfits.length + rootless.length
  return findings === 0 && wrongCheckpoint === undefined && databaseSize >= copySize
}

/**
 * Tiles of any size of the tree as beginnings of those that the copy has now: a mirror need not keep partial tiles of older
 * sizes. The last one of each level is read once.
 */
function tilesOfNewest({ reader, size }: SecondCopy): TileReader {
  const partials = new Map<string, Promise<Uint8Array>>()
  return {
    async readTile(level, index, width) {
      const whole = tileAtSize(level, index, size)
      if (whole.width === tileWidth)
        return (await reader.readTile(level, index, tileWidth)).subarray(0, hashBytes * width)
      const key = `${level}/${index}`
      const partial = partials.get(key) ?? reader.readTile(level, index, whole.width)
      partials.set(key, partial)
      return (await partial).subarray(0, hashBytes * width)
    },
  }
}

async function readHead(query: Query, schema: Schema): Promise<TreeHead | undefined> {
  const [head] = await readNewestHeads(query, schema, 1)
  if (head?.kind === 'unreadable') throw new Error(`the newest head cannot be read: ${head.reason}`)
  return head?.value
}

async function makesRoot(
  reader: TileReader,
  size: TreeSize,
  root: Uint8Array | undefined,
  sha256: Sha256,
): Promise<boolean> {
  if (root === undefined) return true
  const made = await rootOf(reader, size, sha256)
  return made !== undefined && equalBytes(made, root)
}

/** Undefined where a tile is missing, or not of its length. */
async function rootOf(reader: TileReader, size: TreeSize, sha256: Sha256): Promise<Hash | undefined> {
  try {
    return await readRoot(reader, size, sha256)
  } catch (error) {
    if (error instanceof RangeError || (error instanceof TlogError && error.code === 'malformed-tile')) return undefined
    throw error
  }
}

/** By halves: sizes only grow, and from the first one with a wrong leaf on all are wrong. */
async function findWrongCheckpoint(
  query: Query,
  schema: Schema,
  { reader, size }: SecondCopy,
  sha256: Sha256,
): Promise<CopyComparison['wrongCheckpoint']> {
  const newest = await readNewestCheckpoint(query, schema)
  let found: CopyComparison['wrongCheckpoint']
  let [from, to] = [0, newest === undefined ? 0 : newest.number + 1]
  while (from < to) {
    const middle = Math.floor((from + to) / 2)
    // Numbers may be missing: old ones are thinned.
    const [stored] = await readCheckpoints(query, schema, { above: middle - 1, upTo: to - 1 }, 1)
    if (stored === undefined) break
    if (stored.kind === 'unreadable') throw new Error(`checkpoint ${stored.at} cannot be read: ${stored.reason}`)
    const { number, treeSize, root } = stored.value
    // Of what the copy has not, nothing is known.
    const isBeyond = treeSize > size
    const made = isBeyond ? undefined : await rootOf(reader, asTreeSize(treeSize), sha256)
    if (!isBeyond && made !== undefined && equalBytes(made, root)) {
      from = number + 1
    } else {
      found = isBeyond ? found : { number, treeSize }
      to = middle
    }
  }
  return found
}
