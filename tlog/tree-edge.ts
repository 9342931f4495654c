import { concatBytes, equalBytes, formatHex } from './bytes.ts'
import { asCompactRange, extendRange, type NodeVisitor, rangeRoot } from './compact-range.ts'
import { asTreeSize, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { type Hash, hashBytes, nobleSha256, type Sha256 } from './hash.ts'
import type { TileReader } from './log-reader.ts'
import { checkTileLength, slotCount, tileWidth } from './tile.ts'
import { levelsPerTile, midRootsBytes, midWidth, rootOfFullTile, rootOfSlots } from './tile-nodes.ts'

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

/** 8192 bytes of hashes that never change again, and the 512 bytes of the nodes half-way up: roots of 16 slots each. */
export type FullTile = {
  readonly level: number
  readonly index: number
  readonly hashes: Uint8Array
  readonly midRoots: Uint8Array
}

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
  const growth = allocateGrowth(edge.size, newSize, leafHashes)
  const range = extendRange(asCompactRange(edge.size, edge.frontier), leafHashes, collectNodes(growth), hash)
  const fullTiles: FullTile[] = []
  const partials = growth.map((grown, level) => cutTiles(level, edge, grown, fullTiles, hash))
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

/** What a level of tiles gains: slots, and roots of 16 slots each. */
type Growth = { readonly slots: Uint8Array; readonly midRoots: Uint8Array }

/** The leaf hashes at level 0; above it, and for the mid roots, room. */
function allocateGrowth(oldSize: TreeSize, newSize: TreeSize, leafHashes: Uint8Array): Growth[] {
  const growth: Growth[] = []
  for (let level = 0; slotCount(level, newSize) > 0; level++) {
    const [before, after] = [slotCount(level, oldSize), slotCount(level, newSize)]
    const slots = level === 0 ? leafHashes : new Uint8Array(hashBytes * (after - before))
    const midRoots = new Uint8Array(hashBytes * (Math.floor(after / midWidth) - Math.floor(before / midWidth)))
    growth.push({ slots, midRoots })
  }
  return growth
}

/** Writes each node that is a slot of an upper tile, or half-way up one, into the room of its level, from left to right. */
function collectNodes(growth: readonly Growth[]): NodeVisitor {
  const slots = growth.map((grown) => ({ room: grown.slots, end: 0 }))
  const midRoots = growth.map((grown) => ({ room: grown.midRoots, end: 0 }))
  return (level, bytes, at) => {
    const height = level % levelsPerTile
    if (height !== 0 && height !== midHeight) return
    const into = (height === 0 ? slots : midRoots)[(level - height) / levelsPerTile]
    if (into === undefined) return
    into.room.set(bytes.subarray(at, at + hashBytes), into.end)
    into.end += hashBytes
  }
}

const midHeight = 4

/** Adds slots to a partial tile: pushes the tiles that become full onto `fullTiles`, returns the new partial tile. */
function cutTiles(level: number, before: TreeEdge, grown: Growth, fullTiles: FullTile[], hash: Sha256): Uint8Array {
  const partial = before.partials[level] ?? new Uint8Array(0)
  if (grown.slots.length === 0) return partial
  const joined = concatBytes(partial, grown.slots)
  const oldSlots = slotCount(level, before.size)
  let at = 0
  for (
    let index = Math.floor(oldSlots / tileWidth);
    joined.length - at >= fullTileBytes;
    index++, at += fullTileBytes
  ) {
    const hashes = joined.slice(at, at + fullTileBytes)
    const midsBefore = Math.floor(oldSlots / midWidth) - index * midWidth
    fullTiles.push({ level, index, hashes, midRoots: midRootsOf(hashes, midsBefore, grown.midRoots, hash) })
  }
  return at === 0 ? joined : joined.slice(at)
}

/**
 * Of the mid roots of a tile the first `midsBefore` were made before this append and are computed again, 15 hashes each
 * (nobody keeps them, and few tiles have any); `made` begins with the one behind them, or before the tile.
 */
function midRootsOf(tile: Uint8Array, midsBefore: number, made: Uint8Array, hash: Sha256): Uint8Array {
  const out = new Uint8Array(midRootsBytes)
  const kept = Math.max(0, midsBefore)
  for (let group = 0; group < kept; group++) {
    out.set(rootOfSlots(tile, group * midWidth, (group + 1) * midWidth, hash), hashBytes * group)
  }
  const from = hashBytes * Math.max(0, -midsBefore)
  out.set(made.subarray(from, from + midRootsBytes - hashBytes * kept), hashBytes * kept)
  return out
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
