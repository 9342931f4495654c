import type { RowFinding } from './finding.ts'
import type { RangeEdge, RangeResult } from './range-check.ts'

/** What the rows behind a range must follow. */
export type RangeEnd = Pick<RangeEdge, 'lastChainHash' | 'lastTimestamp'>

/** What is wrong between the rows before and the first one of a range. Behind a gap there is nothing to compare. */
export function joinEdges(before: RangeEnd | undefined, { above, edge }: RangeResult): RowFinding[] {
  if (before === undefined) return []
  const findings: RowFinding[] = []
  const entries = { sequenceNumber: above + 1, lastSequenceNumber: above + 1 }
  const { firstPreviousHash: previousHash, firstTimestamp: timestamp } = edge
  const { lastChainHash: predecessorsHash, lastTimestamp: predecessorsTimestamp } = before
  if (previousHash !== undefined && predecessorsHash !== undefined && previousHash !== predecessorsHash) {
    findings.push({ kind: 'CHAIN_HASH_BROKEN', ...entries, previousHash, predecessorsHash })
  }
  if (timestamp < predecessorsTimestamp) {
    findings.push({ kind: 'CLOCK_BACKWARDS', ...entries, timestamp, predecessorsTimestamp })
  }
  return findings
}
