import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { type TileCoord, tilesBetween, tileWidth } from '../../tlog/tile.ts'
import type { CheckedTree } from './checked-tree.ts'

/** Leaves below one tile of level 2: a step reads 256 tiles of leaf hashes and the one above them. */
const stepLeaves = tileWidth * tileWidth
const readsAtOnce = 8

/**
 * Reads every tile of the leaves from `from` on, and computes the root from them: the hash of a tile of leaf hashes must
 * be in the tile above it, the hash of that in the next, and so on up to those of which the signed root is made. Rejects
 * with `ServedMismatch` where one is not. `onSwept` is told of leaves that are done.
 */
export async function sweepTiles(
  tree: CheckedTree,
  from: number,
  onSwept: (size: number) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { size } = tree.checkpoint
  for (let at: number = from; at < size; ) {
    signal?.throwIfAborted()
    const next = Math.min(size, stepLeaves * (Math.floor(at / stepLeaves) + 1))
    await readTiles(tree, asTreeSize(at), asTreeSize(next))
    at = next
    await onSwept(at)
  }
}

/** Level by level from above: what a tile is compared with is there when it comes. */
async function readTiles(tree: CheckedTree, from: TreeSize, to: TreeSize): Promise<void> {
  const coords = [...tilesBetween(from, to)].reverse()
  for (const level of new Set(coords.map((coord) => coord.level))) {
    const ofLevel = coords.filter((coord) => coord.level === level)
    for (let i = 0; i < ofLevel.length; i += readsAtOnce) {
      await Promise.all(ofLevel.slice(i, i + readsAtOnce).map((coord) => readWhole(tree, coord)))
    }
  }
}

function readWhole(tree: CheckedTree, { level, index, width }: TileCoord): Promise<Uint8Array> {
  return tree.readTile(level, index, width)
}
