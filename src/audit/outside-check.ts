import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import type { Hash } from '../../tlog/hash.ts'
import type { Findings } from './findings.ts'
import type { EntryRange, RangeResult } from './range-check.ts'
import type { TreeView } from './tree-view.ts'

/** A tree head that somebody outside of the database knows of this log. */
export type KnownHead = {
  readonly treeSize: number
  readonly root: Hash
  /** Number of the checkpoint of it, where it is one of the stored ones. */
  readonly checkpoint?: number
  /** Who knows it, for people: "the signer". */
  readonly knownBy: string
}

/** What is known outside, against the tree of the rows. */
export class OutsideCheck {
  readonly #known: KnownHead[]
  readonly #tree: TreeView
  readonly #findings: Findings

  constructor(known: readonly KnownHead[], tree: TreeView, findings: Findings) {
    this.#known = known.toSorted((a, b) => a.treeSize - b.treeSize)
    this.#tree = tree
    this.#findings = findings
  }

  /** Heads of sizes up to `upTo`, as far as they were not checked before. */
  check({ upTo }: EntryRange, range: RangeResult | undefined): void {
    for (let [next] = this.#known; next !== undefined && next.treeSize <= upTo; [next] = this.#known) {
      this.#known.shift()
      if (range?.isComplete === false) continue
      const root = this.#tree.root(next.treeSize)
      if (equalBytes(root, next.root)) continue
      const { treeSize, knownBy } = next
      this.#findings.addTree({
        kind: 'FORKED',
        treeSize,
        knownBy,
        computed: formatHex(root),
        known: formatHex(next.root),
      })
    }
  }

  /** When the whole tree was joined: larger trees that are known. */
  checkRest(size: number): void {
    for (const { treeSize, knownBy } of this.#known) {
      this.#findings.addTree({ kind: 'ROLLBACK', treeSize: size, knownSize: treeSize, knownBy })
    }
  }
}
