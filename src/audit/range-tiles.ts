import { equalBytes } from '../../tlog/bytes.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { midRootsBytes, rootOfFullTile } from '../../tlog/tile-nodes.ts'
import type { ExpectedNodes } from './expected-nodes.ts'
import { buildNodes, nodesAt, type RangeNodes, rangeLeaves } from './range-nodes.ts'
import { chooseLeaves } from './tile-choice.ts'

/** A stored tile: 256 node hashes, and the 16 nodes half-way up where they are stored. */
export type StoredTile = { readonly hashes: Uint8Array; readonly midRoots: Uint8Array | undefined }

/** What is stored of the tree over a range. */
export type RangeTiles = {
  /** Its full tiles of level 0, from the left; undefined where one is not there. */
  readonly leaves: readonly (StoredTile | undefined)[]
  /** The tile of level 1 over a full range; undefined where it is not there. */
  readonly roots: StoredTile | undefined
}

/** What is wrong with a stored tile. */
export type TileDefect = {
  readonly level: number
  readonly index: number
  readonly problem: 'missing' | 'altered' | 'mid roots altered'
}

/** Leaf hashes of a range by its rows, 32 bytes each. */
export type RowLeaves = {
  /** As the column has them. */
  readonly stored: Uint8Array
  /** Of the columns that they are of, where that is another: by place in the range. */
  readonly computed: ReadonlyMap<number, Uint8Array>
  /** Places without a row or without any leaf hash. */
  readonly missing: ReadonlySet<number>
}

/** Which leaves the tree has, as far as can be told, and its nodes. */
export type SettledTree = {
  readonly nodes: RangeNodes
  readonly defects: readonly TileDefect[]
  /** Leaf tiles, full ones and the partial one, in which rows and tree differ. */
  readonly disputed: readonly number[]
  /** False where a leaf is in no row and in no tile: then no root can be computed. */
  readonly isComplete: boolean
}

/** Where the leaves that the tree has, and its nodes, are put: 2 and 4 MiB. */
export type TreeRoom = { readonly settled: Uint8Array; readonly nodes: Uint8Array }

/**
 * Compares the leaf hashes of a range with its tiles. Where they differ, whoever fits `expected` is believed, of which
 * the log's seal is: of each tile by itself, since rows may be altered here and tiles there. Where neither does, or the
 * leaves are behind it, whoever fits the node above, of the tile of level 1. So an altered row does not make the tree
 * wrong, nor altered tiles its rows. Where nothing decides, the tile is believed: for many of its leaves somebody holds
 * a receipt.
 */
export function settleTiles(
  firstTile: number,
  rows: RowLeaves,
  tiles: RangeTiles,
  expected: readonly ExpectedNodes[],
  room: TreeRoom,
  sha256: Sha256,
): SettledTree {
  const settling = new Settling(firstTile, rows, tiles, room, sha256)
  return settling.settle(expected)
}

class Settling {
  readonly #firstTile: number
  readonly #rows: RowLeaves
  readonly #tiles: RangeTiles
  /** Of them, those that are as long as a tile. */
  readonly #stored: RangeTiles['leaves']
  readonly #sha256: Sha256
  readonly #leaves: Uint8Array
  readonly #nodes: Uint8Array
  readonly #defects: TileDefect[] = []

  constructor(firstTile: number, rows: RowLeaves, tiles: RangeTiles, room: TreeRoom, sha256: Sha256) {
    this.#firstTile = firstTile
    this.#rows = rows
    this.#tiles = tiles
    this.#stored = tiles.leaves.map((tile) => (tile?.hashes.length === tileWidth * hashBytes ? tile : undefined))
    this.#sha256 = sha256
    this.#nodes = room.nodes
    this.#leaves = room.settled.subarray(0, rows.stored.length)
    this.#leaves.set(rows.stored)
  }

  settle(expected: readonly ExpectedNodes[]): SettledTree {
    const disputed = this.#findDisputed()
    const decided = new Set<number>()
    for (const head of expected) this.#decideByHead(disputed, head, decided)
    for (const tile of disputed) if (!decided.has(tile)) this.#decideByParent(tile)
    const nodes = buildNodes(this.#leaves, this.#sha256, this.#nodes)
    this.#checkUpper(nodes)
    return { nodes, defects: this.#defects, disputed, isComplete: this.#isComplete() }
  }

  /** Takes the tiles' leaves where rows have others. What is left of the rows is the end without a full tile. */
  #findDisputed(): number[] {
    const disputed: number[] = []
    const leaves = this.#stored
    for (const [tile, stored] of leaves.entries()) {
      if (stored === undefined) {
        const problem = this.#tiles.leaves[tile] === undefined ? 'missing' : 'altered'
        this.#defects.push({ level: 0, index: this.#firstTile + tile, problem })
        if (this.#hasDoubt(tile)) disputed.push(tile)
      } else if (!equalBytes(this.#leavesOf(tile), stored.hashes)) {
        this.#leavesOf(tile).set(stored.hashes)
        disputed.push(tile)
      } else if (this.#hasDoubt(tile)) {
        // The stored leaf hash is right; the columns are not.
        disputed.push(tile)
      }
    }
    if (this.#leaves.length > leaves.length * tileWidth * hashBytes && this.#hasDoubt(leaves.length)) {
      disputed.push(leaves.length)
    }
    return disputed
  }

  #hasDoubt(tile: number): boolean {
    const isIn = (place: number): boolean => Math.floor(place / tileWidth) === tile
    return [...this.#rows.computed.keys()].some(isIn) || [...this.#rows.missing].some(isIn)
  }

  get #leafCount(): number {
    return this.#leaves.length / hashBytes
  }

  #decideByHead(disputed: readonly number[], head: ExpectedNodes, decided: Set<number>): void {
    const isKnown = (tile: number): boolean => Math.min((tile + 1) * tileWidth, this.#leafCount) <= head.count
    const open = disputed.filter((tile) => isKnown(tile) && !decided.has(tile))
    if (open.length === 0) return
    const disputes = open.map((tile) => ({ tile, options: this.#optionsOf(tile) }))
    for (const [tile, leaves] of chooseLeaves(this.#leaves, disputes, head, this.#sha256)) {
      this.#take(tile, leaves)
      decided.add(tile)
    }
  }

  /** The node above says who is right: the tile, the rows, or neither. */
  #decideByParent(tile: number): void {
    const above = this.#tiles.roots?.hashes.subarray(tile * hashBytes, (tile + 1) * hashBytes)
    if (above === undefined || tile >= this.#stored.length) return
    const isRight = (option: Uint8Array): boolean => equalBytes(rootOfFullTile(option, this.#sha256), above)
    const right = this.#optionsOf(tile).find(isRight)
    if (right !== undefined) this.#take(tile, right)
    else if (this.#stored[tile] !== undefined) this.#addAltered(tile)
  }

  #take(tile: number, leaves: Uint8Array): void {
    const stored = this.#stored[tile]
    this.#leavesOf(tile).set(leaves)
    if (stored !== undefined && !equalBytes(stored.hashes, leaves)) this.#addAltered(tile)
  }

  /** Leaves that the tile may have: as it is stored, as the column of its rows has them, and as their other columns have. */
  #optionsOf(tile: number): readonly Uint8Array[] {
    const start = tile * tileWidth * hashBytes
    const column = this.#rows.stored.slice(start, start + tileWidth * hashBytes)
    const computed = this.#computedLeaves(tile)
    const rows = computed === undefined ? [] : [column, computed]
    const stored = this.#stored[tile]
    const options = stored === undefined ? rows : [stored.hashes, ...rows]
    return options.filter((option, i) => options.findIndex((other) => equalBytes(other, option)) === i)
  }

  /** The leaves of a tile by the columns of its rows; undefined where one is not there. */
  #computedLeaves(tile: number): Uint8Array | undefined {
    const start = tile * tileWidth
    const leaves = this.#rows.stored.slice(start * hashBytes, (start + tileWidth) * hashBytes)
    for (let place = start; place < start + leaves.length / hashBytes; place++) {
      if (this.#rows.missing.has(place)) return undefined
      const computed = this.#rows.computed.get(place)
      if (computed !== undefined) leaves.set(computed, (place - start) * hashBytes)
    }
    return leaves
  }

  #checkUpper(nodes: RangeNodes): void {
    const mids = nodesAt(nodes, 4)
    for (const [tile, stored] of this.#stored.entries()) {
      const want = mids.subarray(tile * midRootsBytes, (tile + 1) * midRootsBytes)
      this.#checkMids(0, this.#firstTile + tile, stored, want)
    }
    if (nodes.leaves < rangeLeaves) return
    const index = this.#firstTile / tileWidth
    const { roots } = this.#tiles
    if (roots === undefined) this.#defects.push({ level: 1, index, problem: 'missing' })
    else if (!equalBytes(roots.hashes, nodesAt(nodes, 8))) this.#defects.push({ level: 1, index, problem: 'altered' })
    this.#checkMids(1, index, roots, nodesAt(nodes, 12))
  }

  /** Tiles that were stored before there were any have none. */
  #checkMids(level: number, index: number, stored: StoredTile | undefined, want: Uint8Array): void {
    if (stored?.midRoots === undefined || equalBytes(stored.midRoots, want)) return
    if (this.#defects.some((defect) => defect.level === level && defect.index === index)) return
    this.#defects.push({ level, index, problem: 'mid roots altered' })
  }

  #addAltered(tile: number): void {
    this.#defects.push({ level: 0, index: this.#firstTile + tile, problem: 'altered' })
  }

  #leavesOf(tile: number): Uint8Array {
    return this.#leaves.subarray(tile * tileWidth * hashBytes, (tile + 1) * tileWidth * hashBytes)
  }

  #isComplete(): boolean {
    for (const place of this.#rows.missing) {
      if (this.#stored[Math.floor(place / tileWidth)] === undefined) return false
    }
    return true
  }
}
