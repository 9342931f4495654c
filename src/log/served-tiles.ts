import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { type TileCoord, tileAtSize, tileWidth } from '../../tlog/tile.ts'
import { buildPyramid } from '../../tlog/tile-nodes.ts'
import { checkTileOnPath } from '../../tlog/tile-path.ts'
import { checkEdge, edgeFromTiles, type TreeEdge } from '../../tlog/tree-edge.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { TileCache } from './tile-cache.ts'
import type { TreeProofs } from './tree-proofs.ts'

/**
 * Tiles as they are handed out. They are kept by caches for a year, so that one that the database alone has is compared
 * with the signed tree first: 130 us, once for those that are kept.
 */
export class ServedTiles {
  readonly #tiles: TileCache
  readonly #proofs: TreeProofs
  readonly #hash: Sha256
  #edge: { readonly size: number; readonly reading: Promise<TreeEdge> } | undefined

  constructor(tiles: TileCache, proofs: TreeProofs, hash: Sha256) {
    this.#tiles = tiles
    this.#proofs = proofs
    this.#hash = hash
  }

  /** A tile of the checkpoint's tree, which must have it. Throws TlogError where what is stored is another. */
  async read(coord: TileCoord, checkpoint: StoredCheckpoint): Promise<Uint8Array> {
    const { level, index, width } = coord
    const isFull = tileAtSize(level, index, asTreeSize(checkpoint.treeSize)).width === tileWidth
    if (isFull) return (await this.#readFull(coord, checkpoint)).subarray(0, hashBytes * width)
    const trusted = await this.#tiles.readTrusted(level, index, width)
    if (trusted !== undefined) return trusted
    const { partials } = await this.#readEdge(checkpoint)
    return (partials[level] as Uint8Array).subarray(0, hashBytes * width)
  }

  async #readFull({ level, index }: TileCoord, checkpoint: StoredCheckpoint): Promise<Uint8Array> {
    const trusted = await this.#tiles.readTrusted(level, index, tileWidth)
    if (trusted !== undefined) return trusted
    const tile = await this.#tiles.readTile(level, index, tileWidth)
    const proof = await this.#proofs.prove(asLeafIndex(index * tileWidth ** (level + 1)), checkpoint)
    checkTileOnPath(level, index, buildPyramid(tile, this.#hash), proof, this.#hash)
    this.#tiles.trust(level, index, tile)
    return tile
  }

  /** The partial tiles of all levels; read once a checkpoint. */
  #readEdge({ treeSize, root }: StoredCheckpoint): Promise<TreeEdge> {
    if (this.#edge?.size === treeSize) return this.#edge.reading
    const reading = edgeFromTiles(this.#tiles, asTreeSize(treeSize), this.#hash).then((edge) => {
      checkEdge(edge, root, this.#hash)
      return edge
    })
    this.#edge = { size: treeSize, reading }
    reading.catch(() => {
      if (this.#edge?.reading === reading) this.#edge = undefined
    })
    return reading
  }
}
