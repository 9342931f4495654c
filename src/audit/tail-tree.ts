import { type CompactRange, extendRange, rangeRoot } from '../../tlog/compact-range.ts'
import { type Hash, hashBytes, type Sha256 } from '../../tlog/hash.ts'
import type { RangeResult } from './range-check.ts'
import { nodesAt, rangeLevel } from './range-nodes.ts'
import type { TreeView } from './tree-view.ts'

/** The tree of what was known before and the rows behind it, which need not begin where a range does. */
export class TailTree implements TreeView {
  readonly #result: RangeResult
  readonly #sha256: Sha256
  readonly #rangeRoots: string[]
  /** As far as somebody has asked. */
  #grown: CompactRange

  constructor(before: CompactRange, result: RangeResult, rangeRoots: string[], sha256: Sha256) {
    this.#grown = before
    this.#result = result
    this.#rangeRoots = rangeRoots
    this.#sha256 = sha256
  }

  /** Sizes that are asked for never go back. The roots of ranges that get full on the way are added to the list. */
  grownTo(size: number): CompactRange {
    const { above, nodes } = this.#result
    const from = this.#grown.size
    if (size < from) throw new RangeError(`tree of ${size} leaves: it has grown to ${from}`)
    const leaves = nodesAt(nodes, 0).subarray((from - above) * hashBytes, (size - above) * hashBytes)
    const visit = (level: number, bytes: Uint8Array, at: number): void => {
      if (level === rangeLevel) this.#rangeRoots.push(Buffer.from(bytes.subarray(at, at + hashBytes)).toString('hex'))
    }
    this.#grown = extendRange(this.#grown, leaves, visit, this.#sha256)
    return this.#grown
  }

  packed(size: number): Uint8Array {
    return this.grownTo(size).hashes
  }

  root(size: number): Hash {
    return rangeRoot(this.grownTo(size), this.#sha256)
  }

  chainHash(size: number): Uint8Array {
    const at = (size - this.#result.above - 1) * hashBytes
    return this.#result.chainHashes.subarray(at, at + hashBytes)
  }
}
