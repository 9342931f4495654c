import { equalBytes } from './bytes.ts'
import { asCompactRange, rangeRoot } from './compact-range.ts'
import type { LeafIndex, TreeSize } from './coords.ts'
import { type Hash, hashBytes, nobleSha256, type Sha256 } from './hash.ts'
import type { TileReader } from './log-reader.ts'
import { slotCount, tileWidth } from './tile.ts'
import { rootOfFullTile } from './tile-nodes.ts'
import { edgeFromPartials } from './tree-edge.ts'

/** A leaf of which two copies of a tree have other hashes. */
export type LeafDifference = { readonly index: LeafIndex; readonly first: Hash; readonly second: Hash }

/** A tile that is not there, or is not the one whose root its copy has in the tile above. Nothing below it is compared. */
export type TileMisfit = {
  readonly copy: 'first' | 'second'
  readonly level: number
  readonly index: number
  readonly problem: 'missing' | 'misfit'
}

export type TreeComparison = {
  /** In order. */
  readonly leaves: readonly LeafDifference[]
  readonly misfits: readonly TileMisfit[]
  /** Whether there are more leaves than were asked for. */
  readonly isCut: boolean
  /** Tiles that were read of each copy. */
  readonly reads: number
}

/** Read at once. */
const tilesAtOnce = 64

/**
 * Finds the leaves in which two copies of the first `size` leaves of a log differ: of k of them with at most k tiles a
 * level beside the last of each level. It goes down only where hashes differ, and only by tiles that fit the tile above:
 * what was changed in one copy without the nodes above it is not seen here, but by whoever reads all of it. Readers throw
 * RangeError for a tile that is not there; what else they throw rejects. Ends at `leavesMax` leaves.
 */
export async function compareTrees(
  first: TileReader,
  second: TileReader,
  size: TreeSize,
  leavesMax: number,
  hash: Sha256 = nobleSha256,
): Promise<TreeComparison> {
  const comparison = new Comparison(first, second, leavesMax, hash)
  for (let level = levelCount(size) - 1; level >= 0; level--) await comparison.compareLevel(level, size)
  return comparison.result()
}

/** Root of the first `size` leaves by the last tile of each level, which are read as wide as they are then. */
export async function readRoot(reader: TileReader, size: TreeSize, hash: Sha256 = nobleSha256): Promise<Hash> {
  const reads = Array.from({ length: levelCount(size) }, (_, level) => {
    const { index, width } = lastTile(level, size)
    return width === 0 ? new Uint8Array(0) : reader.readTile(level, index, width)
  })
  const { frontier } = edgeFromPartials(size, await Promise.all(reads), hash)
  return rangeRoot(asCompactRange(size, frontier), hash)
}

/** A tile of both copies; `roots` are those that they have above it, which the last tile of a level has not. */
type Wanted = { readonly index: number; readonly width: number; readonly roots?: readonly [Uint8Array, Uint8Array] }

class Comparison {
  readonly #readers: readonly [TileReader, TileReader]
  readonly #leavesMax: number
  readonly #hash: Sha256
  readonly #leaves: LeafDifference[] = []
  readonly #misfits: TileMisfit[] = []
  #wanted: Wanted[] = []
  #isCut = false
  #reads = 0

  constructor(first: TileReader, second: TileReader, leavesMax: number, hash: Sha256) {
    this.#readers = [first, second]
    this.#leavesMax = leavesMax
    this.#hash = hash
  }

  result(): TreeComparison {
    return { leaves: this.#leaves, misfits: this.#misfits, isCut: this.#isCut, reads: this.#reads }
  }

  /** The tiles that the level above asked for, and the last one, in order. */
  async compareLevel(level: number, size: TreeSize): Promise<void> {
    const wanted = this.#wanted
    const last = lastTile(level, size)
    if (last.width > 0) wanted.push(last)
    this.#wanted = []
    for (let from = 0; from < wanted.length && !this.#isCut; from += tilesAtOnce) {
      const some = wanted.slice(from, from + tilesAtOnce)
      this.#reads += some.length
      const pairs = await Promise.all(
        some.map((tile) => Promise.all([this.#read(0, level, tile), this.#read(1, level, tile)])),
      )
      for (const [i, [one, other]] of pairs.entries()) {
        if (one !== undefined && other !== undefined) this.#compare(level, some[i]?.index ?? 0, one, other)
      }
    }
  }

  async #read(side: 0 | 1, level: number, { index, width, roots }: Wanted): Promise<Uint8Array | undefined> {
    const copy = side === 0 ? 'first' : 'second'
    const tile = await readTile(this.#readers[side], level, index, width)
    const root = roots?.[side]
    if (tile === undefined) this.#misfits.push({ copy, level, index, problem: 'missing' })
    else if (!this.#fits(tile, width, root)) this.#misfits.push({ copy, level, index, problem: 'misfit' })
    else return tile
    return undefined
  }

  #fits(tile: Uint8Array, width: number, root: Uint8Array | undefined): boolean {
    if (tile.length !== hashBytes * width) return false
    return root === undefined || equalBytes(rootOfFullTile(tile, this.#hash), root)
  }

  #compare(level: number, index: number, one: Uint8Array, other: Uint8Array): void {
    for (let slot = 0; slot < one.length / hashBytes; slot++) {
      const [start, end] = [slot * hashBytes, (slot + 1) * hashBytes]
      const roots = [one.subarray(start, end), other.subarray(start, end)] as const
      if (equalBytes(...roots)) continue
      const place = index * tileWidth + slot
      if (level > 0) this.#wanted.push({ index: place, width: tileWidth, roots })
      else if (this.#leaves.length >= this.#leavesMax) this.#isCut = true
      else this.#leaves.push({ index: place as LeafIndex, first: roots[0] as Hash, second: roots[1] as Hash })
    }
  }
}

async function readTile(
  reader: TileReader,
  level: number,
  index: number,
  width: number,
): Promise<Uint8Array | undefined> {
  try {
    return await reader.readTile(level, index, width)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function levelCount(size: TreeSize): number {
  let level = 0
  while (slotCount(level, size) > 0) level++
  return level
}

/** The last tile of a level, 0 slots wide where all are full: full tiles have a slot in the level above. */
function lastTile(level: number, size: TreeSize): { readonly index: number; readonly width: number } {
  const slots = slotCount(level, size)
  return { index: Math.floor(slots / tileWidth), width: slots % tileWidth }
}
