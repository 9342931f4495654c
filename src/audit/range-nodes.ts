import { copyInto } from '../../tlog/cbor.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'

/** Leaves of a range: one level-1 tile is of them, one partition of the ledger holds them. */
export const rangeLeaves = 65_536
/** Of the node that a full range is. */
export const rangeLevel = 16

/**
 * All nodes of the tree over a range that begins at a multiple of 65,536: those of level l, from the left, each of 2^l
 * leaves, where they are full. Packed, level by level; 4 MiB for a full range.
 */
export type RangeNodes = {
  /** How many leaves the range has, 1 to 65,536. */
  readonly leaves: number
  readonly bytes: Uint8Array
}

/** Room for the nodes of any range. */
export const rangeNodesBytes: number = hashBytes * 2 * rangeLeaves

/** The nodes over these leaf hashes, 32 bytes each, made in `room`. One hash for each inner node. */
export function buildNodes(leafHashes: Uint8Array, sha256: Sha256, room: Uint8Array): RangeNodes {
  const leaves = leafHashes.length / hashBytes
  const bytes = room.subarray(0, levelStart(leaves, rangeLevel + 1))
  bytes.set(leafHashes)
  const pair = new Uint8Array(1 + 2 * hashBytes)
  pair[0] = 1
  for (let level = 1; level <= rangeLevel; level++) {
    const count = countAt(leaves, level)
    let from = levelStart(leaves, level - 1)
    let to = levelStart(leaves, level)
    for (let i = 0; i < count; i++, from += 2 * hashBytes, to += hashBytes) {
      copyInto(pair, 1, bytes, from, from + 2 * hashBytes)
      sha256(pair, 0, pair.length, bytes, to)
    }
  }
  return { leaves, bytes }
}

/** The nodes of one level, a view. */
export function nodesAt({ leaves, bytes }: RangeNodes, level: number): Uint8Array {
  return bytes.subarray(levelStart(leaves, level), levelStart(leaves, level + 1))
}

/** The compact range of the first `count` leaves of the range, packed, biggest node first. */
export function packedNodes(nodes: RangeNodes, count: number): Uint8Array {
  const out = new Uint8Array(hashBytes * (rangeLevel + 1))
  let at = 0
  let done = 0
  for (let level = rangeLevel; level >= 0; level--) {
    const width = 2 ** level
    if (count - done < width) continue
    const start = levelStart(nodes.leaves, level) + hashBytes * (done / width)
    at = copyInto(out, at, nodes.bytes, start, start + hashBytes)
    done += width
  }
  return out.subarray(0, at)
}

function levelStart(leaves: number, level: number): number {
  let count = 0
  for (let below = 0; below < level; below++) count += countAt(leaves, below)
  return hashBytes * count
}

function countAt(leaves: number, level: number): number {
  return Math.floor(leaves / 2 ** level)
}
