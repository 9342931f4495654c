import { setImmediate as turn } from 'node:timers/promises'
import { hashBytes } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { Unavailable } from './incident.ts'
import type { TileCache } from './tile-cache.ts'

/** Read at once: 256 KiB. */
const tilesAtOnce = 32
/** Leaves of one look: 40 ms where their tiles are in files, half a second where the database must be asked. */
const leavesMax = 1_048_576
/** Looks that wait for others. */
const waitingMax = 16

/**
 * Looks for a leaf hash among the newest leaves, which the search tables do not have yet, through the tiles themselves:
 * one look at a time.
 */
export class LeafScan {
  readonly #tiles: TileCache
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(tiles: TileCache) {
    this.#tiles = tiles
  }

  /**
   * The lowest leaf index of `from` to `to` - 1 with this hash; nothing of the tiles is checked. Rejects with
   * `Unavailable` where it is too far, or too many look.
   */
  async find(leaf: Uint8Array, from: number, to: number): Promise<number | undefined> {
    if (to - from > leavesMax) throw new Unavailable(`leaves are known by their hash up to ${from} so far`)
    if (this.#waiting >= waitingMax) throw new Unavailable('too many look for leaves that are as new')
    this.#waiting++
    const looking = this.#last.then(() => this.#look(leaf, from, to))
    this.#last = looking.catch(() => {})
    try {
      return await looking
    } finally {
      this.#waiting--
    }
  }

  async #look(leaf: Uint8Array, from: number, to: number): Promise<number | undefined> {
    const lastTile = Math.ceil(to / tileWidth)
    for (let first = Math.floor(from / tileWidth); first < lastTile; first += tilesAtOnce) {
      const count = Math.min(tilesAtOnce, lastTile - first)
      const tiles = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          this.#tiles.readTile(0, first + i, Math.min(tileWidth, to - (first + i) * tileWidth)),
        ),
      )
      for (const [i, tile] of tiles.entries()) {
        const start = (first + i) * tileWidth
        const slot = slotOf(tile, leaf, Math.max(0, from - start))
        if (slot !== undefined) return start + slot
      }
      // Others have their turn.
      await turn()
    }
    return undefined
  }
}

/** The first slot from `from` on that holds this hash. */
function slotOf(tile: Uint8Array, leaf: Uint8Array, from: number): number | undefined {
  const bytes = Buffer.from(tile.buffer, tile.byteOffset, tile.length)
  for (let at = bytes.indexOf(leaf, hashBytes * from); at >= 0; at = bytes.indexOf(leaf, at + 1)) {
    if (at % hashBytes === 0) return at / hashBytes
  }
  return undefined
}
