import type { Place } from '../../store/forensics/evidence-parts.ts'
import type { IncidentFinding } from '../finding.ts'

const leavesOfTile = 256

/** Where in the log a finding is, by its evidence; what is about none of it has neither entries nor checkpoint. */
export function placeOf({ sequenceNumber, evidence }: IncidentFinding): Place {
  const { lastSequenceNumber, treeSize, checkpoint, level, index } = evidence
  const first = sequenceNumber ?? firstOfTile(level, index) ?? countOf(treeSize)
  return {
    entries: first === undefined ? undefined : { first, last: Math.max(first, countOf(lastSequenceNumber) ?? first) },
    checkpoint: countOf(checkpoint),
  }
}

/** The first entry below a tile. */
function firstOfTile(level: unknown, index: unknown): number | undefined {
  const [height, place] = [countOf(level), countOf(index)]
  if (height === undefined || place === undefined) return undefined
  return countOf(place * leavesOfTile ** (height + 1) + 1)
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}
