import type { TileReader } from '../../tlog/log-reader.ts'
import { tileWidth } from '../../tlog/tile.ts'
import type { FullTile, TreeEdge } from '../../tlog/tree-edge.ts'

/** Full tiles that are kept in memory: 8 KiB each. */
const tilesMax = 2_048

/**
 * Tiles from memory where possible: full ones that were made or read lately, partial ones from the edge of the tree.
 * The rest comes from `below`.
 */
export class TileCache implements TileReader {
  readonly #below: TileReader
  /** In order of use, the oldest first. */
  readonly #full = new Map<string, Uint8Array>()
  #edge: TreeEdge | undefined

  constructor(below: TileReader) {
    this.#below = below
  }

  /** Takes what a commit made. */
  add(edge: TreeEdge, fullTiles: readonly FullTile[]): void {
    this.#edge = edge
    for (const { level, index, hashes } of fullTiles) this.#keep(`${level}/${index}`, hashes)
  }

  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    const key = `${level}/${index}`
    const full = this.#full.get(key)
    if (full !== undefined) {
      this.#keep(key, full)
      return full.subarray(0, 32 * width)
    }
    const partial = this.#partial(level, index, width)
    if (partial !== undefined) return partial
    const tile = await this.#below.readTile(level, index, width)
    if (width === tileWidth) this.#keep(key, tile)
    return tile
  }

  /** The last tile of a level in the newest tree; what it has of slots never changes. */
  #partial(level: number, index: number, width: number): Uint8Array | undefined {
    const edge = this.#edge
    const slots = edge?.partials[level]
    if (edge === undefined || slots === undefined || slots.length < 32 * width) return undefined
    const lastIndex = Math.floor(edge.size / tileWidth ** (level + 1))
    return index === lastIndex ? slots.subarray(0, 32 * width) : undefined
  }

  #keep(key: string, tile: Uint8Array): void {
    this.#full.delete(key)
    this.#full.set(key, tile)
    if (this.#full.size <= tilesMax) return
    const [oldest] = this.#full.keys()
    if (oldest !== undefined) this.#full.delete(oldest)
  }
}
