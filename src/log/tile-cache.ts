import type { Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { buildPyramid, type TilePyramid } from '../../tlog/tile-nodes.ts'
import type { FullTile, TreeEdge } from '../../tlog/tree-edge.ts'

/** Tiles that are kept: up to 8 KiB each, and as much again once a proof was taken from them. */
const fullTilesMax = 512
const partialTilesMax = 64

/**
 * Tiles from memory where possible: full ones that were made or read lately, partial ones from the edge of the tree.
 * The rest comes from `below`.
 */
export class TileCache implements TileReader {
  readonly #below: TileReader
  readonly #hash: Sha256
  readonly #full = new RecentTiles(fullTilesMax)
  readonly #partial = new RecentTiles(partialTilesMax)
  #edge: TreeEdge | undefined

  constructor(below: TileReader, hash: Sha256) {
    this.#below = below
    this.#hash = hash
  }

  /** Takes what a commit made. */
  add(edge: TreeEdge, fullTiles: readonly FullTile[]): void {
    this.#edge = edge
    for (const { level, index, hashes } of fullTiles) this.#full.keep(`${level}/${index}`, { tile: hashes })
  }

  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    return (await this.#read(level, index, width)).tile
  }

  /** All perfect subtrees of a tile, computed once. */
  async readPyramid(level: number, index: number, width: number): Promise<TilePyramid> {
    const kept = await this.#read(level, index, width)
    kept.pyramid ??= buildPyramid(kept.tile, this.#hash)
    return kept.pyramid
  }

  async #read(level: number, index: number, width: number): Promise<KeptTile> {
    const kept = this.#find(level, index, width)
    if (kept !== undefined) return kept
    const tile = await this.#below.readTile(level, index, width)
    return this.#keep(level, index, width, tile)
  }

  #find(level: number, index: number, width: number): KeptTile | undefined {
    const full = this.#full.find(`${level}/${index}`)
    if (full !== undefined && width === tileWidth) return full
    const partial = this.#partial.find(`${level}/${index}/${width}`)
    if (partial !== undefined) return partial
    // What a tile has of slots never changes: a narrower one is the beginning of a wider one.
    const wider = full?.tile ?? this.#edgeTile(level, index, width)
    return wider === undefined ? undefined : this.#keep(level, index, width, wider.subarray(0, 32 * width))
  }

  /** The last tile of a level in the newest tree, where it is that one and has as many slots. */
  #edgeTile(level: number, index: number, width: number): Uint8Array | undefined {
    const edge = this.#edge
    const slots = edge?.partials[level]
    if (edge === undefined || slots === undefined || slots.length < 32 * width) return undefined
    return index === Math.floor(edge.size / tileWidth ** (level + 1)) ? slots : undefined
  }

  #keep(level: number, index: number, width: number, tile: Uint8Array): KeptTile {
    const kept: KeptTile = { tile }
    if (width === tileWidth) this.#full.keep(`${level}/${index}`, kept)
    else this.#partial.keep(`${level}/${index}/${width}`, kept)
    return kept
  }
}

type KeptTile = { readonly tile: Uint8Array; pyramid?: TilePyramid }

/** The tiles that were used last. */
class RecentTiles {
  readonly #max: number
  /** In order of use, the oldest first. */
  readonly #tiles = new Map<string, KeptTile>()

  constructor(max: number) {
    this.#max = max
  }

  find(key: string): KeptTile | undefined {
    const tile = this.#tiles.get(key)
    if (tile !== undefined) this.keep(key, tile)
    return tile
  }

  keep(key: string, tile: KeptTile): void {
    this.#tiles.delete(key)
    this.#tiles.set(key, tile)
    if (this.#tiles.size <= this.#max) return
    const [oldest] = this.#tiles.keys()
    if (oldest !== undefined) this.#tiles.delete(oldest)
  }
}
