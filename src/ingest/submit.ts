import type { KnownSubmission, Placement } from '../log/pool.ts'
import type { Door, RecordResult } from './door.ts'
import { type Kept, quarantineRefusals, type Refusal, refusedListedMax, type Unlisted } from './quarantine.ts'
import type { Records } from './records.ts'

/** What became of a request with many records. Indexes are leaf indexes, null where nothing was accepted. */
export type BatchResult = {
  readonly accepted: number
  readonly duplicates: number
  readonly quarantined: number
  readonly firstIndex: number | null
  readonly lastIndex: number | null
  readonly results: readonly RecordResult[]
  /** Absent where `results` has all that were quarantined. */
  readonly unlisted?: Unlisted
}

/**
 * Submits the records of a request: the good ones become entries in one commit, the others go to quarantine. Resolves
 * when all of it is durable. Quarantine comes first, so that a failure of it leaves nothing half done.
 */
export async function submitRecords(
  door: Door,
  body: Uint8Array,
  records: Records,
  writer: string,
): Promise<BatchResult> {
  const refused = await quarantineRefusals(door, body, records.refused, refusedListedMax, writer)
  if (records.submissions.length === 0) return summary(undefined, [], [refused])
  const placement = await door.submit(records.submissions, () => records.arena.release())
  const room = refusedListedMax - refused.results.length
  const conflicts = await quarantineRefusals(door, body, conflictsOf(records, placement.known), room, writer)
  return summary(placement, duplicatesOf(records, placement.known), [refused, conflicts])
}

export const conflictCode = 'idempotency-conflict'

export function conflictDetail(sequenceNumber: number): string {
  return `id: entry ${sequenceNumber} has this id and other content`
}

function conflictsOf(records: Records, known: readonly KnownSubmission[]): Refusal[] {
  return known
    .filter(({ kind }) => kind === 'conflict')
    .map(({ i, sequenceNumber }) => ({
      i: records.places[i] as number,
      code: conflictCode,
      detail: conflictDetail(sequenceNumber),
      pointer: '/id',
      start: records.starts[i] as number,
      end: records.ends[i] as number,
      sequenceNumber,
    }))
}

function duplicatesOf(records: Records, known: readonly KnownSubmission[]): RecordResult[] {
  return known
    .filter(({ kind }) => kind === 'duplicate')
    .map(({ i, sequenceNumber }) => ({
      i: records.places[i] as number,
      status: 'duplicate',
      code: 'duplicate',
      detail: 'was logged before',
      sequenceNumber,
    }))
}

function summary(
  placement: Placement | undefined,
  duplicates: readonly RecordResult[],
  kept: readonly Kept[],
): BatchResult {
  const accepted = placement?.acceptedCount ?? 0
  const firstIndex = placement === undefined || accepted === 0 ? null : placement.firstSequenceNumber - 1
  const listed = kept.flatMap(({ results }) => results)
  const unlisted = kept.reduce((sum, { unlisted }) => sum + unlisted.quarantined, 0)
  const quarantineIds = kept.flatMap(({ unlisted }) => unlisted.quarantineIds)
  return {
    accepted,
    duplicates: duplicates.length,
    quarantined: listed.length + unlisted,
    firstIndex,
    lastIndex: firstIndex === null ? null : firstIndex + accepted - 1,
    results: [...listed, ...duplicates].sort((a, b) => a.i - b.i),
    ...(unlisted === 0 ? {} : { unlisted: { quarantined: unlisted, quarantineIds } }),
  }
}
