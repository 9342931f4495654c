import { concatBytes } from './bytes.ts'
import type { TreeNode } from './coords.ts'
import { TlogError } from './errors.ts'
import { type Hash, hashBytes, nobleSha256, type Sha256 } from './hash.ts'
import { tileWidth } from './tile.ts'

/** Tree levels that one level of tiles spans: 2^8 = 256 slots. */
export const levelsPerTile = 8

/** Slots `from` to `to` - 1 of a tile, a power of two of them and aligned: their root is one node of the tree. */
export type TileSlots = {
  readonly level: number
  readonly index: number
  readonly from: number
  readonly to: number
}

/** Where a node of the tree is found: one slot, or the slots of which it is the root. */
export function slotsOfNode(node: TreeNode): TileSlots {
  const level = Math.floor(node.level / levelsPerTile)
  const width = 2 ** (node.level % levelsPerTile)
  const nodesPerTile = tileWidth / width
  const from = (node.index % nodesPerTile) * width
  return { level, index: Math.floor(node.index / nodesPerTile), from, to: from + width }
}

/**
 * Root of the slots `from` to `to` - 1 of a tile's bytes, `to` - `from` a power of two (RFC 6962 2.1).
 * Throws `malformed-tile` where the tile has fewer slots.
 */
export function rootOfSlots(tile: Uint8Array, from: number, to: number, hash: Sha256 = nobleSha256): Hash {
  if (tile.length < hashBytes * to) {
    throw new TlogError('malformed-tile', `tile of ${tile.length} bytes: no slot ${to - 1}`)
  }
  if (to - from === 1) return new Uint8Array(tile.subarray(hashBytes * from, hashBytes * to)) as Uint8Array as Hash
  // In place: pair i is read from byte 64 * i, which holds its prefix, and written 32 * i bytes from the front.
  const work = new Uint8Array(1 + hashBytes * (to - from))
  work.set(tile.subarray(hashBytes * from, hashBytes * to), 1)
  for (let pairs = (to - from) / 2; pairs >= 1; pairs /= 2) {
    for (let i = 0; i < pairs; i++) {
      const start = 2 * hashBytes * i
      work[start] = 0x01
      hash(work, start, start + 1 + 2 * hashBytes, work, 1 + hashBytes * i)
    }
  }
  return work.slice(1, 1 + hashBytes) as Hash
}

/** Root of a full tile: the slot it has in the tile above it. Throws `malformed-tile` unless it is 8192 bytes. */
export function rootOfFullTile(tile: Uint8Array, hash: Sha256 = nobleSha256): Hash {
  if (tile.length !== hashBytes * tileWidth) {
    throw new TlogError('malformed-tile', `full tile: got ${tile.length} bytes, want ${hashBytes * tileWidth}`)
  }
  return rootOfSlots(tile, 0, tileWidth, hash)
}

/** Half-way up a full tile stand 16 nodes, each the root of 16 slots. With them and 16 slots go 15 hashes, not 255. */
export const midWidth = 16
/** Bytes of the roots of all 16 times 16 slots of a tile, from left to right. */
export const midRootsBytes: number = hashBytes * midWidth

/** What is needed of a full tile for any one of 16 slots: all its mid roots, and the slots 16 * `group` onwards. */
export type TilePart = {
  readonly group: number
  readonly midRoots: Uint8Array
  readonly slots: Uint8Array
  /** The pyramid of the mid roots, where it is at hand: then nothing above them is hashed. */
  readonly upper?: TilePyramid
}

/** Whether a part holds what `rootInPart` needs. */
export function isInPart(group: number, from: number, to: number): boolean {
  return to - from >= midWidth || Math.floor(from / midWidth) === group
}

/** `rootOfSlots` of a tile of which only a part is there; `isInPart` must hold. */
export function rootInPart(
  { group, midRoots, slots, upper }: TilePart,
  from: number,
  to: number,
  hash: Sha256 = nobleSha256,
): Hash {
  if (to - from >= midWidth) {
    const [first, end] = [from / midWidth, to / midWidth]
    return upper === undefined ? rootOfSlots(midRoots, first, end, hash) : rootInPyramid(upper, first, end)
  }
  return rootOfSlots(slots, from - group * midWidth, to - group * midWidth, hash)
}

/**
 * Every perfect subtree of a tile: `[h]` holds the roots of 2^h consecutive slots, 32 bytes each, from left to right.
 * One hash a node, once, for whoever takes many proofs from one tile.
 */
export type TilePyramid = readonly Uint8Array[]

/** The pyramid of a tile of any width. */
export function buildPyramid(tile: Uint8Array, hash: Sha256 = nobleSha256): TilePyramid {
  const pyramid = [tile]
  const pair = new Uint8Array(1 + 2 * hashBytes)
  pair[0] = 0x01
  for (let below = tile; below.length >= 2 * hashBytes; ) {
    const above = new Uint8Array(hashBytes * Math.floor(below.length / (2 * hashBytes)))
    for (let at = 0; at < above.length; at += hashBytes) {
      pair.set(below.subarray(2 * at, 2 * at + 2 * hashBytes), 1)
      hash(pair, 0, pair.length, above, at)
    }
    pyramid.push(above)
    below = above
  }
  return pyramid
}

/** Bytes of the pyramid of the mid roots: 16 nodes, 8 above them, then 4, 2 and 1. */
export const upperNodesBytes: number = hashBytes * (2 * midWidth - 1)

/** The pyramid of a full tile's mid roots, one level after the other. */
export function upperNodesIn(pyramid: TilePyramid): Uint8Array {
  return concatBytes(...pyramid.slice(Math.log2(midWidth)))
}

/** What `upperNodesIn` made, as a pyramid of views. */
export function upperPyramid(nodes: Uint8Array): TilePyramid {
  const pyramid: Uint8Array[] = []
  for (let start = 0, bytes = midRootsBytes; bytes >= hashBytes; start += bytes, bytes /= 2) {
    pyramid.push(nodes.subarray(start, start + bytes))
  }
  return pyramid
}

/** `rootOfSlots` without a hash. Throws `malformed-tile` where the tile has fewer slots. */
export function rootInPyramid(pyramid: TilePyramid, from: number, to: number): Hash {
  const roots = pyramid[Math.log2(to - from)]
  const at = (hashBytes * from) / (to - from)
  if (roots === undefined || roots.length < at + hashBytes) {
    throw new TlogError('malformed-tile', `tile of ${pyramid[0]?.length} bytes: no slot ${to - 1}`)
  }
  return roots.subarray(at, at + hashBytes) as Hash
}
