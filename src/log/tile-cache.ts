import type { Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { buildPyramid, type TilePart, type TilePyramid } from '../../tlog/tile-nodes.ts'
import type { FullTile, TreeEdge } from '../../tlog/tree-edge.ts'

/** Tiles of leaf hashes that are kept: 8 KiB each, and as much again once a proof was taken from them. */
const leafTilesMax = 384
/** Those above: of ten million entries all 154. */
const upperTilesMax = 256
const partialTilesMax = 64

/** Where tiles come from that are not kept. */
export type TilesBelow = TileReader & {
  /** Of a full tile; undefined where only whole ones are stored. */
  readonly readPart: (level: number, index: number, group: number) => Perhaps<TilePart>
  /** A full tile that is had so cheaply that it is not worth keeping; undefined where `readTile` must be asked. */
  readonly readFiled?: (level: number, index: number) => Perhaps<Uint8Array>
}

type Perhaps<T> = T | undefined | Promise<T | undefined>

/**
 * Tiles from memory where possible: full ones that were made or read lately, partial ones from the edge of the tree.
 * The rest comes from `below`; what is being read already is not asked for again.
 */
export class TileCache implements TileReader {
  readonly #below: TilesBelow
  readonly #hash: Sha256
  readonly #leaves = new RecentTiles(leafTilesMax)
  readonly #upper = new RecentTiles(upperTilesMax)
  readonly #partial = new RecentTiles(partialTilesMax)
  readonly #reading = new Map<string, Promise<KeptTile>>()
  #edge: TreeEdge | undefined

  constructor(below: TilesBelow, hash: Sha256) {
    this.#below = below
    this.#hash = hash
  }

  /** Takes what a commit made. */
  add(edge: TreeEdge, fullTiles: readonly FullTile[]): void {
    this.#edge = edge
    for (const { level, index, hashes } of fullTiles) this.trust(level, index, hashes)
  }

  /** Takes a full tile that was shown to be the tree's. */
  trust(level: number, index: number, tile: Uint8Array): void {
    this.#fullOf(level).keep(`${level}/${index}`, { tile, isTrusted: true })
  }

  /** A tile that a commit made, that was trusted, or that is filed; undefined where only the database may have it. */
  readTrusted(level: number, index: number, width: number): Perhaps<Uint8Array> {
    const kept = this.#find(level, index, width)
    if (kept?.isTrusted === true) return kept.tile
    return width === tileWidth ? this.#below.readFiled?.(level, index) : undefined
  }

  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    const kept = this.#find(level, index, width)
    if (kept !== undefined) return kept.tile
    const filed = width === tileWidth ? await this.#below.readFiled?.(level, index) : undefined
    return filed ?? (await this.#read(level, index, width)).tile
  }

  /** All perfect subtrees of a tile, computed once; at once where the tile is kept. */
  readPyramid(level: number, index: number, width: number): TilePyramid | Promise<TilePyramid> {
    const kept = this.#find(level, index, width)
    return kept === undefined
      ? this.#read(level, index, width).then((read) => this.#pyramidOf(read))
      : this.#pyramidOf(kept)
  }

  /**
   * What 16 slots of a full tile need, or all of it where that is kept or where parts are not stored. A part is not kept:
   * of many millions of leaves the same is seldom asked for again.
   */
  readPart(level: number, index: number, group: number): TilePart | TilePyramid | Promise<TilePart | TilePyramid> {
    const kept = this.#find(level, index, tileWidth)
    if (kept !== undefined) return this.#pyramidOf(kept)
    const part = this.#below.readPart(level, index, group)
    if (!(part instanceof Promise)) return part ?? this.readPyramid(level, index, tileWidth)
    return part.then((read) => read ?? this.readPyramid(level, index, tileWidth))
  }

  #pyramidOf(kept: KeptTile): TilePyramid {
    kept.pyramid ??= buildPyramid(kept.tile, this.#hash)
    return kept.pyramid
  }

  #read(level: number, index: number, width: number): Promise<KeptTile> {
    const key = `${level}/${index}/${width}`
    const underway = this.#reading.get(key)
    if (underway !== undefined) return underway
    const reading = this.#readBelow(level, index, width)
      .then((tile) => this.#keep(level, index, width, tile, false))
      .finally(() => this.#reading.delete(key))
    this.#reading.set(key, reading)
    return reading
  }

  async #readBelow(level: number, index: number, width: number): Promise<Uint8Array> {
    const filed = width === tileWidth ? await this.#below.readFiled?.(level, index) : undefined
    return filed ?? this.#below.readTile(level, index, width)
  }

  #find(level: number, index: number, width: number): KeptTile | undefined {
    const full = this.#fullOf(level).find(`${level}/${index}`)
    if (full !== undefined && width === tileWidth) return full
    if (full === undefined && width === tileWidth) return undefined
    const partial = this.#partial.find(`${level}/${index}/${width}`)
    if (partial !== undefined) return partial
    // What a tile has of slots never changes: a narrower one is the beginning of a wider one.
    const edge = this.#edgeTile(level, index, width)
    const wider = full ?? (edge && { tile: edge, isTrusted: true })
    return wider && this.#keep(level, index, width, wider.tile.subarray(0, 32 * width), wider.isTrusted)
  }

  /** The last tile of a level in the newest tree, where it is that one and has as many slots. */
  #edgeTile(level: number, index: number, width: number): Uint8Array | undefined {
    const edge = this.#edge
    const slots = edge?.partials[level]
    if (edge === undefined || slots === undefined || slots.length < 32 * width) return undefined
    return index === Math.floor(edge.size / tileWidth ** (level + 1)) ? slots : undefined
  }

  #keep(level: number, index: number, width: number, tile: Uint8Array, isTrusted: boolean): KeptTile {
    const kept: KeptTile = { tile, isTrusted }
    if (width === tileWidth) this.#fullOf(level).keep(`${level}/${index}`, kept)
    else this.#partial.keep(`${level}/${index}/${width}`, kept)
    return kept
  }

  /** Apart: reads of leaves all over the tree must not push out what every proof needs. */
  #fullOf(level: number): RecentTiles {
    return level === 0 ? this.#leaves : this.#upper
  }
}

/** What came from the database is not trusted: whoever builds on it checks what he built. */
type KeptTile = { readonly tile: Uint8Array; readonly isTrusted: boolean; pyramid?: TilePyramid }

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
