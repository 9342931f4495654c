import type { IdMismatch } from '../store/audit-reads.ts'
import type { RowFinding } from './finding.ts'

/** What it means that an entry's id is not known, or is known for another. */
export function idFinding({ sequenceNumber, eventId, knownAs, isTwice }: IdMismatch): RowFinding {
  const entries = { sequenceNumber, lastSequenceNumber: sequenceNumber }
  return isTwice && knownAs !== null
    ? { kind: 'IDEMPOTENCY_CONFLICT', ...entries, eventId, otherSequenceNumber: knownAs }
    : { kind: 'KNOWN_IDS_MISMATCH', ...entries, eventId, knownAs }
}
