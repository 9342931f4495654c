import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import type { Hash } from '../../tlog/hash.ts'
import type { TreeFinding } from './finding.ts'
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
  /** Where that says so, of somebody who says it in several places: a file. */
  readonly place?: string
}

/** Who knows it, with the place. */
export function nameOfKnower({ knownBy, place }: Pick<KnownHead, 'knownBy' | 'place'>): string {
  return place === undefined ? knownBy : `${knownBy} (${place})`
}

/** Of each who knows a larger tree than `size`, the largest: the database is as it was before. */
export function rollbacks(known: readonly KnownHead[], size: number): TreeFinding[] {
  const largest = new Map<string, KnownHead>()
  for (const head of known) {
    if (head.treeSize > Math.max(size, largest.get(head.knownBy)?.treeSize ?? 0)) largest.set(head.knownBy, head)
  }
  return [...largest.values()].map((head) => {
    const knownBy = nameOfKnower(head)
    return { kind: 'ROLLBACK', treeSize: size, knownSize: head.treeSize, knownBy }
  })
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

  /** Heads of sizes up to `upTo`, as far as they were not checked before; of trees that end before `above` nothing is known here. */
  check({ above, upTo }: EntryRange, range: RangeResult | undefined): void {
    for (let [next] = this.#known; next !== undefined && next.treeSize <= upTo; [next] = this.#known) {
      this.#known.shift()
      if (next.treeSize < above || range?.isComplete === false) continue
      const root = this.#tree.root(next.treeSize)
      if (equalBytes(root, next.root)) continue
      const { treeSize } = next
      const [computed, known] = [formatHex(root), formatHex(next.root)]
      this.#findings.addTree({ kind: 'FORKED', treeSize, knownBy: nameOfKnower(next), computed, known })
    }
  }

  /** When the whole tree was joined: larger trees that are known. */
  checkRest(size: number): void {
    for (const finding of rollbacks(this.#known, size)) this.#findings.addTree(finding)
  }
}
