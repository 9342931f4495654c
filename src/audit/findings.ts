import type { Finding, RowFinding, TreeFinding } from './finding.ts'
import { FindingRuns } from './finding-runs.ts'

/** Of a whole run: more nobody reads, and a verifier's memory has a bound. */
const runsMax = 10_000

/** All findings of a run, from the first entry on; then those of the tree and of what stands around it. */
export class Findings {
  readonly #rows = new FindingRuns(runsMax)
  readonly #tree: TreeFinding[] = []
  #treeOmitted = 0

  addRow(finding: RowFinding): void {
    this.#rows.add(finding)
  }

  addOmitted(omitted: FindingRuns['omitted']): void {
    this.#rows.addOmitted(omitted)
  }

  /** A finding that follows from the last one of its kind is one with it: of all heads behind a first wrong one, say. */
  addTree(finding: TreeFinding): void {
    const at = this.#tree.findLastIndex((other) => other.kind === finding.kind)
    const last = this.#tree[at]
    const joined = last === undefined ? undefined : joinedWith(last, finding)
    if (joined !== undefined) this.#tree[at] = joined
    else if (this.#tree.length < runsMax) this.#tree.push(finding)
    else this.#treeOmitted++
  }

  get isEmpty(): boolean {
    return this.#tree.length === 0 && this.#rows.isEmpty
  }

  /** The end of the ledger up to `treeSize`, which some head knows, is not there: a cut, not a hole. */
  inOrder(treeSize: number): Finding[] {
    const rows = this.#rows.inOrder().map((finding): Finding => {
      if (finding.kind !== 'GAP_IN_SEQUENCE' || finding.isRepeated || finding.lastSequenceNumber < treeSize)
        return finding
      const { sequenceNumber } = finding
      return {
        kind: 'HEAD_TRUNCATED',
        treeSize: sequenceNumber - 1,
        knownSize: treeSize,
        knownBy: 'head',
        sequenceNumber,
      }
    })
    const rewritten = this.#tree.filter(isOfEntries)
    const others = this.#tree.filter((finding) => !isOfEntries(finding))
    const numberOf = (finding: Finding): number => ('sequenceNumber' in finding ? finding.sequenceNumber : 0)
    return [...[...rewritten, ...rows].sort((a, b) => numberOf(a) - numberOf(b)), ...others]
  }

  /** How many more there were. */
  get omitted(): number {
    return this.#treeOmitted + Object.values(this.#rows.omitted).reduce((sum, count) => sum + count, 0)
  }
}

function isOfEntries(finding: TreeFinding): boolean {
  return finding.kind === 'ROOT_MISMATCH' && finding.of === 'entries'
}

function joinedWith(last: TreeFinding, next: TreeFinding): TreeFinding | undefined {
  if (last.kind !== 'ROOT_MISMATCH' || next.kind !== 'ROOT_MISMATCH') return undefined
  if (last.of === 'entries') {
    const isNext = next.of === 'entries' && next.sequenceNumber === last.lastSequenceNumber + 1
    return isNext ? { ...last, lastSequenceNumber: next.lastSequenceNumber } : undefined
  }
  if (next.of !== last.of) return undefined
  return { ...last, lastTreeSize: next.lastTreeSize, lastSequenceNumber: next.lastSequenceNumber }
}
