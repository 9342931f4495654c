import { concatBytes, equalBytes } from '../../tlog/bytes.ts'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { slotCount, tileWidth } from '../../tlog/tile.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import { checkEdge, edgeFromTiles } from '../../tlog/tree-edge.ts'
import type { Schema } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Query } from '../store/session.ts'
import { openTileStore, readLeafHashes } from '../store/tile-store.ts'
import { isMismatch, LogIncident } from './incident.ts'

/** What stored tiles are read from, with leaf hashes: past every cache. */
export type StoredTree = { readonly query: Query; readonly schema: Schema; readonly hash: Sha256 }

type Damaged = { readonly level: number; readonly index: number; readonly isMissing: boolean }

/** A log stands still meanwhile: a look at tiles with 65,536 below each may end without an answer. */
const lookMaxMs = 5_000
const listedMax = 10

/**
 * Which stored tiles are not those of a signed tree, where what lies below them is: the entries are intact then, and can
 * be told from other entries. Asked where the edge of `size` leaves does not make `root`. Undefined where the
 * tiles make it, where others would not either, and where that could not be told in 5 s.
 */
export async function describeDamage(tree: StoredTree, size: TreeSize, root: Hash): Promise<string | undefined> {
  try {
    const damaged = await findDamaged(tree, size, root)
    if (damaged === undefined) return undefined
    const more = damaged.length > listedMax ? `, and ${damaged.length - listedMax} more` : ''
    return `${damaged.slice(0, listedMax).map(describe).join(', ')}${more}`
  } catch (error) {
    if (!isMismatch(error)) throw error
    return undefined
  }
}

/** What `read` gives. Throws ROOT_MISMATCH where it finds other entries than those of the checkpoint, and tiles are to blame. */
export async function blamingTiles<T>(
  tree: StoredTree,
  { treeSize, root }: StoredCheckpoint,
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (!isMismatch(cause)) throw cause
    const damage = await describeDamage(tree, asTreeSize(treeSize), root)
    if (damage === undefined) throw cause
    throw new LogIncident('ROOT_MISMATCH', damage, { cause })
  }
}

function describe({ level, index, isMissing }: Damaged): string {
  const how = isMissing ? 'is not stored' : 'as stored is not the one that was signed'
  const below = level === 0 ? `the leaf hashes of its ${tileWidth} entries are` : `the ${tileWidth} tiles below it are`
  return `tile ${index} of level ${level} ${how}; ${below}${isMissing ? ' those that were signed' : ''}`
}

/** Makes the tiles under the edge anew, level by level from the leaves, until they make the root. */
async function findDamaged(tree: StoredTree, size: TreeSize, root: Hash): Promise<readonly Damaged[] | undefined> {
  const endMs = performance.now() + lookMaxMs
  const stored = openTileStore(tree.query, tree.schema, tree.hash)
  const made = new Map<string, Uint8Array>()
  const tiles = madeBefore(made, stored)
  const damaged: Damaged[] = []
  if (await isRoot(stored, size, root, tree.hash)) return undefined
  for (let level = 0; slotCount(level + 1, size) > 0; level++) {
    const found = damaged.length
    for (const index of tilesUnderEdge(level, size)) {
      if (performance.now() > endMs) return undefined
      const tile = await makeTile(tree, tiles, level, index)
      const got = await readStored(stored, level, index)
      if (got !== undefined && equalBytes(got, tile)) continue
      damaged.push({ level, index, isMissing: got === undefined })
      made.set(`${level}/${index}`, tile)
    }
    if (damaged.length > found && (await isRoot(tiles, size, root, tree.hash))) return damaged
  }
  return undefined
}

/** Full tiles whose roots are slots of the last tile of the next level, while that is not full. */
function tilesUnderEdge(level: number, size: TreeSize): readonly number[] {
  const count = slotCount(level + 1, size)
  const width = count % tileWidth
  return Array.from({ length: width }, (_, i) => count - width + i)
}

async function makeTile(tree: StoredTree, tiles: TileReader, level: number, index: number): Promise<Uint8Array> {
  const first = index * tileWidth
  if (level === 0) return readLeafHashes(tree.query, tree.schema, first, tileWidth)
  const below = Array.from({ length: tileWidth }, (_, slot) => tiles.readTile(level - 1, first + slot, tileWidth))
  return concatBytes(...(await Promise.all(below)).map((tile) => rootOfFullTile(tile, tree.hash)))
}

function madeBefore(made: ReadonlyMap<string, Uint8Array>, stored: TileReader): TileReader {
  return {
    readTile: async (level, index, width) =>
      (width === tileWidth ? made.get(`${level}/${index}`) : undefined) ?? stored.readTile(level, index, width),
  }
}

async function readStored(stored: TileReader, level: number, index: number): Promise<Uint8Array | undefined> {
  try {
    return await stored.readTile(level, index, tileWidth)
  } catch (error) {
    if (isMismatch(error)) return undefined
    throw error
  }
}

async function isRoot(tiles: TileReader, size: TreeSize, root: Hash, hash: Sha256): Promise<boolean> {
  try {
    checkEdge(await edgeFromTiles(tiles, size, hash), root, hash)
    return true
  } catch (error) {
    if (isMismatch(error)) return false
    throw error
  }
}
