import { stat } from 'node:fs/promises'
import { asCompactRange, rangeRoot } from '../../tlog/compact-range.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { edgeFromTiles } from '../../tlog/tree-edge.ts'
import { TileFiles } from './tile-files.ts'

/** Files are written so many tiles at a time, and not flushed. */
const unfinishedMax = 16

/**
 * The tree of the full tiles that the files of a folder have, from the first leaf on. Undefined where they have none, or
 * too few are as they were written. A server may write them meanwhile.
 */
export async function readFiledHead(
  folder: string,
  origin: string,
  hash: Sha256,
): Promise<{ readonly treeSize: number; readonly root: Hash } | undefined> {
  if (!(await isThere(folder))) return undefined
  const files = await TileFiles.open(folder, origin)
  try {
    const count = await countWhole(files)
    if (count === 0) return undefined
    const size = asTreeSize(count * tileWidth)
    const edge = await edgeFromTiles({ readTile: (level, index) => readWhole(files, level, index) }, size, hash)
    return { treeSize: size, root: rangeRoot(asCompactRange(size, edge.frontier), hash) }
  } catch (error) {
    if (error instanceof DamagedTile) return undefined
    throw error
  } finally {
    await files.close()
  }
}

class DamagedTile extends Error {}

/** How many tiles of level 0 make a tree with those of the levels above, which are written after them. */
async function countWhole(files: TileFiles): Promise<number> {
  let count = files.count(0)
  for (let level = 1; count >= tileWidth ** level; level++) {
    count = Math.min(count, (files.count(level) + 1) * tileWidth ** level - 1)
  }
  for (let tried = 0; count > 0 && tried < unfinishedMax; tried++, count--) {
    if ((await files.readTile({ level: 0, index: count - 1 })) !== undefined) return count
  }
  return count
}

async function readWhole(files: TileFiles, level: number, index: number): Promise<Uint8Array> {
  const tile = await files.readTile({ level, index })
  if (tile === undefined) throw new DamagedTile()
  return tile
}

function isThere(folder: string): Promise<boolean> {
  return stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
