import { appendLeafHash, type CompactRange, emptyRange, foldRight } from '../../tlog/compact-range.ts'
import { emptyRoot, type Hash, hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { levelsPerTile, rootOfFullTile } from '../../tlog/tile-nodes.ts'
import type { RangeResult } from './range-check.ts'
import { nodesAt, packedNodes, rangeLeaves, rangeLevel } from './range-nodes.ts'
import type { TreeView } from './tree-view.ts'

/** The tree as the ledger makes it, as far as ranges were joined: roots of all sizes within the newest range. */
export class GrownTree implements TreeView {
  readonly #sha256: Sha256
  /** Of the ranges before: each a leaf of this range. */
  #before: CompactRange
  #range: RangeResult | undefined
  /** Nodes of levels 16, 24, … of which no full tile was seen yet. */
  readonly #upper: Uint8Array[][] = []

  /** `before`: of ranges that are not added any more, each a leaf of this compact range. */
  constructor(sha256: Sha256, before: CompactRange = emptyRange) {
    this.#sha256 = sha256
    this.#before = before
  }

  /** Takes the next range, and gives the tiles of level 2 and above that are full now: level, index, hashes. */
  add(range: RangeResult): readonly { readonly level: number; readonly index: number; readonly hashes: Uint8Array }[] {
    const full: { level: number; index: number; hashes: Uint8Array }[] = []
    if (this.#range !== undefined) this.#before = this.#grownBy(this.#range)
    this.#range = range
    if (range.upTo % rangeLeaves !== 0) return full
    let node: Uint8Array = nodesAt(range.nodes, rangeLevel)
    for (let level = rangeLevel / levelsPerTile; ; level++) {
      const nodes = [...(this.#upper[level] ?? []), node]
      this.#upper[level] = nodes.length < tileWidth ? nodes : []
      if (nodes.length < tileWidth) return full
      const hashes = Buffer.concat(nodes)
      full.push({ level, index: range.upTo / (tileWidth * 2 ** (levelsPerTile * level)) - 1, hashes })
      node = rootOfFullTile(hashes, this.#sha256)
    }
  }

  /** The compact range of `size` leaves, which are in the newest range or are all that came before. */
  packed(size: number): Uint8Array {
    const range = this.#range
    if (range === undefined || size <= range.above) return this.#before.hashes
    // A full range is a leaf among others, which runs together with those before it.
    if (size - range.above === rangeLeaves) return this.#grownBy(range).hashes
    return Buffer.concat([this.#before.hashes, packedNodes(range.nodes, size - range.above)])
  }

  root(size: number): Hash {
    const packed = this.packed(size)
    return packed.length === 0 ? emptyRoot : foldRight(packed, this.#sha256)
  }

  #grownBy({ nodes }: RangeResult): CompactRange {
    return appendLeafHash(this.#before, nodesAt(nodes, rangeLevel) as Hash, this.#sha256)
  }

  /** The chain hash of the last of `size` entries, as its row says it. */
  chainHash(size: number): Uint8Array {
    const range = this.#range
    if (range === undefined || size <= range.above) return new Uint8Array(hashBytes)
    const at = (size - range.above - 1) * hashBytes
    return range.chainHashes.subarray(at, at + hashBytes)
  }
}
