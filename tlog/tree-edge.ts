import { concatBytes, equalBytes, formatHex } from './bytes.ts'
import { asCompactRange, extendRange, type NodeVisitor, rangeRoot } from './compact-range.ts'
import { asTreeSize, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { type Hash, hashBytes, nobleSha256, type Sha256 } from './hash.ts'
import type { TileReader } from './log-reader.ts'
import { checkTileLength, slotCount, tileWidth } from './tile.ts'
import { levelsPerTile, rootOfFullTile, rootOfSlots } from './tile-nodes.ts'

/**
 * The right edge of a tree: all a sequencer keeps between two batches. `frontier` is the compact range's hashes (32
 * bytes each, biggest subtree first); `partials[level]` the slots of the last, not yet full tile of a level (0 to 255
 * of 32 bytes), for each level that has slots at all. Nothing of it is written after it was made.
 */
export type TreeEdge = {
  readonly size: TreeSize
  readonly frontier: Uint8Array
  readonly partials: readonly Uint8Array[]
}

/** 8192 bytes of hashes that never change again. */
export type FullTile = { readonly level: number; readonly index: number; readonly hashes: Uint8Array }

export type ExtendedEdge = { readonly edge: TreeEdge; readonly root: Hash; readonly fullTiles: readonly FullTile[] }

export const emptyEdge: TreeEdge = { size: asTreeSize(0), frontier: new Uint8Array(0), partials: [] }

const fullTileBytes = hashBytes * tileWidth

/**
 * The edge with the leaves of `leafHashes` (32 bytes each) appended, the root of the new tree, and the tiles that
 * became full: level by level from the leaves, each from left to right. One hash a new inner node and those of the
 * root. Throws `malformed-range` where lengths are wrong, `out-of-range` above 2^53-1 leaves.
 */
export function appendLeafHashes(edge: TreeEdge, leafHashes: Uint8Array, hash: Sha256 = nobleSha256): ExtendedEdge {
  const newSize = asTreeSize(edge.size + Math.floor(leafHashes.length / hashBytes))
  const newSlots = allocateSlots(edge.size, newSize, leafHashes)
  const range = extendRange(asCompactRange(edge.size, edge.frontier), leafHashes, collectSlots(newSlots), hash)
  const fullTiles: FullTile[] = []
  const partials = newSlots.map((slots, level) => {
    const firstIndex = Math.floor(slotCount(level, edge.size) / tileWidth)
    return cutTiles(level, firstIndex, edge.partials[level] ?? new Uint8Array(0), slots, fullTiles)
  })
  return { edge: { size: newSize, frontier: range.hashes, partials }, root: rangeRoot(range, hash), fullTiles }
}

/**
 * Recomputes the frontier and the root from the partial tiles. Throws `malformed-tile` where a partial tile has not
 * the slots that the size demands, `root-mismatch` unless frontier and root come out equal.
 */
export function checkEdge(edge: TreeEdge, root: Hash, hash: Sha256 = nobleSha256): void {
  const rebuilt = edgeFromPartials(edge.size, edge.partials, hash)
  if (!equalBytes(rebuilt.frontier, edge.frontier)) {
    throw new TlogError('root-mismatch', `edge of ${edge.size} leaves: the frontier is not that of the partial tiles`)
  }
  const got = rangeRoot(asCompactRange(rebuilt.size, rebuilt.frontier), hash)
  if (!equalBytes(got, root)) {
    throw new TlogError('root-mismatch', `edge of ${edge.size} leaves: got ${formatHex(got)}, want ${formatHex(root)}`)
  }
}

/**
 * Rebuilds the edge of `size` leaves from the partial tile of leaf hashes and from full tiles alone: each slot of an
 * upper partial tile is the root of a full tile below. Reads at most 255 tiles a level, at once, and checks their
 * lengths (`malformed-tile`); whether they are the tree's, only `checkEdge` against a trusted root can tell.
 */
export async function edgeFromTiles(reader: TileReader, size: TreeSize, hash: Sha256 = nobleSha256): Promise<TreeEdge> {
  const reads: Promise<Uint8Array>[] = []
  for (let level = 0; slotCount(level, size) > 0; level++) reads.push(readPartial(reader, level, size, hash))
  return edgeFromPartials(size, await Promise.all(reads), hash)
}

/** The edge that has these partial tiles; throws `malformed-tile` unless each has the slots that the size demands. */
export function edgeFromPartials(
  size: TreeSize,
  partials: readonly Uint8Array[],
  hash: Sha256 = nobleSha256,
): TreeEdge {
  checkPartialLengths(size, partials)
  const frontier = concatBytes(...partials.flatMap((partial) => nodesOfPartial(partial, hash)).reverse())
  return { size, frontier, partials }
}

/** The slots that each level gains: the leaf hashes at level 0, above it room for roots of full tiles. */
function allocateSlots(oldSize: TreeSize, newSize: TreeSize, leafHashes: Uint8Array): Uint8Array[] {
  const slots: Uint8Array[] = []
  for (let level = 0; slotCount(level, newSize) > 0; level++) {
    const count = slotCount(level, newSize) - slotCount(level, oldSize)
    slots.push(level === 0 ? leafHashes : new Uint8Array(hashBytes * count))
  }
  return slots
}

/** Writes each node that is a slot of an upper tile into the room of its level, from left to right. */
function collectSlots(room: readonly Uint8Array[]): NodeVisitor {
  const ends = room.map(() => 0)
  return (level, bytes, at) => {
    if (level % levelsPerTile !== 0) return
    const tileLevel = level / levelsPerTile
    const end = ends[tileLevel] as number
    room[tileLevel]?.set(bytes.subarray(at, at + hashBytes), end)
    ends[tileLevel] = end + hashBytes
  }
}

/** Adds slots to a partial tile: pushes the tiles that become full onto `fullTiles`, returns the new partial tile. */
function cutTiles(
  level: number,
  firstIndex: number,
  partial: Uint8Array,
  slots: Uint8Array,
  fullTiles: FullTile[],
): Uint8Array {
  if (slots.length === 0) return partial
  const joined = concatBytes(partial, slots)
  let at = 0
  for (let index = firstIndex; joined.length - at >= fullTileBytes; index++, at += fullTileBytes) {
    fullTiles.push({ level, index, hashes: joined.slice(at, at + fullTileBytes) })
  }
  return at === 0 ? joined : joined.slice(at)
}

async function readPartial(reader: TileReader, level: number, size: TreeSize, hash: Sha256): Promise<Uint8Array> {
  const index = Math.floor(slotCount(level, size) / tileWidth)
  const width = slotCount(level, size) % tileWidth
  if (width === 0) return new Uint8Array(0)
  if (level === 0) {
    const tile = await reader.readTile(level, index, width)
    checkTileLength({ level, index, width }, tile)
    return tile
  }
  const below = Array.from({ length: width }, (_, slot) => index * tileWidth + slot)
  const tiles = await Promise.all(below.map((i) => reader.readTile(level - 1, i, tileWidth)))
  return concatBytes(...tiles.map((tile) => rootOfFullTile(tile, hash)))
}

function checkPartialLengths(size: TreeSize, partials: readonly Uint8Array[]): void {
  for (let level = 0; level < partials.length || slotCount(level, size) > 0; level++) {
    const want = slotCount(level, size) === 0 ? undefined : hashBytes * (slotCount(level, size) % tileWidth)
    const got = partials[level]?.length
    if (got !== want) {
      throw new TlogError(
        'malformed-tile',
        `partial tile of level ${level} at size ${size}: got ${got} bytes, want ${want}`,
      )
    }
  }
}

/** The perfect subtrees of a partial tile, smallest first. */
function nodesOfPartial(partial: Uint8Array, hash: Sha256): Hash[] {
  const nodes: Hash[] = []
  let to = partial.length / hashBytes
  for (let width = 1; to > 0; width *= 2) {
    if (to % (2 * width) === 0) continue
    nodes.push(rootOfSlots(partial, to - width, to, hash))
    to -= width
  }
  return nodes
}
