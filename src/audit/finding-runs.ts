import type { RowFinding } from './finding.ts'

/** Of a range at most, runs of entries counted as one. */
const runsMaxDefault = 1_000

/** Findings of entries, where neighbours with the same finding are one. What is beyond a limit is counted by kind. */
export class FindingRuns {
  readonly #runsMax: number
  readonly #runs: RowFinding[] = []
  /** How many entries have findings that were left out, by kind. */
  readonly omitted: Partial<Record<RowFinding['kind'], number>> = {}
  readonly #newest = new Map<string, number>()

  constructor(runsMax: number = runsMaxDefault) {
    this.#runsMax = runsMax
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0
  }

  inOrder(): RowFinding[] {
    return this.#runs.toSorted(compareFindings)
  }

  add(finding: RowFinding): void {
    const key = keyOf(finding)
    const at = this.#newest.get(key)
    const last = at === undefined ? undefined : this.#runs[at]
    if (at !== undefined && last !== undefined && finding.sequenceNumber <= last.lastSequenceNumber + 1) {
      this.#runs[at] = { ...last, lastSequenceNumber: Math.max(last.lastSequenceNumber, finding.lastSequenceNumber) }
    } else if (this.#runs.length < this.#runsMax) {
      this.#newest.set(key, this.#runs.push(finding) - 1)
    } else {
      this.addOmitted({ [finding.kind]: finding.lastSequenceNumber - finding.sequenceNumber + 1 })
    }
  }

  /** How many entries have findings that were left out elsewhere. */
  addOmitted(omitted: FindingRuns['omitted']): void {
    for (const [kind, entries] of Object.entries(omitted) as [RowFinding['kind'], number][]) {
      this.omitted[kind] = (this.omitted[kind] ?? 0) + entries
    }
  }
}

/** Of findings of one entry the first one is what the others follow from. */
const order: readonly RowFinding['kind'][] = [
  ...(['GENESIS_TAMPER', 'GAP_IN_SEQUENCE', 'CHAIN_HASH_BROKEN', 'PAYLOAD_CORRUPT', 'LEAF_MISMATCH'] as const),
  ...(['CLOCK_BACKWARDS', 'IDEMPOTENCY_CONFLICT', 'KNOWN_IDS_MISMATCH'] as const),
]

export function compareFindings(a: RowFinding, b: RowFinding): number {
  return a.sequenceNumber - b.sequenceNumber || order.indexOf(a.kind) - order.indexOf(b.kind)
}

/** What findings must have in common to be of one run. */
function keyOf(finding: RowFinding): string {
  if ('fields' in finding) return `${finding.kind} ${finding.fields}`
  return 'isRepeated' in finding ? `${finding.kind} ${finding.isRepeated}` : finding.kind
}
