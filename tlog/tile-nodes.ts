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
