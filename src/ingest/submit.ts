import type { TlogError } from '../../tlog/errors.ts'
import { digest, type Sha256 } from '../../tlog/hash.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import type { KnownSubmission, Placement } from '../log/pool.ts'
import type { Submission } from '../log/submission.ts'
import type { QuarantinedRecord } from '../store/quarantine.ts'
import type { Records } from './records.ts'

/** What a door needs of the log. */
export type Door = {
  readonly submit: (submissions: readonly Submission[], release?: () => void) => Promise<Placement>
  /** Stores records that cannot become entries; resolves when they are durable. */
  readonly quarantine: (records: readonly QuarantinedRecord[]) => Promise<void>
  readonly makeId: () => Uint8Array
  readonly hash: Sha256
}

/** A record that was not plainly accepted. */
export type RecordResult = {
  readonly i: number
  readonly status: 'duplicate' | 'quarantined'
  readonly code: string
  readonly detail: string
  readonly pointer?: string
  readonly sequenceNumber?: number
  readonly quarantineId?: string
}

/** What became of a request with many records. Indexes are leaf indexes, null where nothing was accepted. */
export type BatchResult = {
  readonly accepted: number
  readonly duplicates: number
  readonly quarantined: number
  readonly firstIndex: number | null
  readonly lastIndex: number | null
  readonly results: readonly RecordResult[]
}

/** Bytes of a refused record that are kept; its hash is of all of them. */
const rawBytesMax = 1_048_576

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
  const refused = await quarantineRefused(door, body, records, writer)
  if (records.submissions.length === 0) return summary(undefined, refused, [])
  const placement = await door.submit(records.submissions, () => records.arena.release())
  const known = await settleKnown(door, body, records, placement.known, writer)
  return summary(placement, refused, known)
}

/** Keeps a whole body in which no record could be told from the next. */
export async function quarantineBody(door: Door, body: Uint8Array, error: TlogError, writer: string): Promise<void> {
  await door.quarantine([quarantinedRecord(door, writer, body, error.code, error.message, error.pointer ?? null)])
}

async function quarantineRefused(
  door: Door,
  body: Uint8Array,
  records: Records,
  writer: string,
): Promise<RecordResult[]> {
  if (records.refused.length === 0) return []
  const rows = records.refused.map(({ error, start, end }) =>
    quarantinedRecord(door, writer, body.subarray(start, end), error.code, error.message, error.pointer ?? null),
  )
  await door.quarantine(rows)
  return records.refused.map(({ i, error }, k) => ({
    i,
    status: 'quarantined',
    code: error.code,
    detail: error.message,
    ...(error.pointer === undefined ? {} : { pointer: error.pointer }),
    quarantineId: (rows[k] as QuarantinedRecord).quarantineId,
  }))
}

async function settleKnown(
  door: Door,
  body: Uint8Array,
  records: Records,
  known: readonly KnownSubmission[],
  writer: string,
): Promise<RecordResult[]> {
  const conflicts = known.filter(({ kind }) => kind === 'conflict')
  const rows = conflicts.map(({ i, sequenceNumber }) => {
    const raw = body.subarray(records.starts[i], records.ends[i])
    return quarantinedRecord(door, writer, raw, conflictCode, conflictDetail(sequenceNumber), '/id')
  })
  if (rows.length > 0) await door.quarantine(rows)
  const ids = new Map(conflicts.map(({ i }, k) => [i, (rows[k] as QuarantinedRecord).quarantineId]))
  return known.map((submission) => knownResult(records, submission, ids.get(submission.i)))
}

function knownResult(records: Records, known: KnownSubmission, quarantineId: string | undefined): RecordResult {
  const { sequenceNumber } = known
  const i = records.places[known.i] as number
  if (quarantineId === undefined) {
    return { i, status: 'duplicate', code: 'duplicate', detail: 'was logged before', sequenceNumber }
  }
  const detail = conflictDetail(sequenceNumber)
  return { i, status: 'quarantined', code: conflictCode, detail, pointer: '/id', sequenceNumber, quarantineId }
}

export const conflictCode = 'idempotency-conflict'

export function conflictDetail(sequenceNumber: number): string {
  return `id: entry ${sequenceNumber} has this id and other content`
}

function quarantinedRecord(
  door: Door,
  writer: string,
  raw: Uint8Array,
  code: string,
  detail: string,
  pointer: string | null,
): QuarantinedRecord {
  return {
    quarantineId: formatUuid(door.makeId()),
    writer,
    sourcePosition: null,
    code,
    detail: storable(detail),
    pointer: pointer === null ? null : storable(pointer),
    raw: raw.subarray(0, rawBytesMax),
    rawSha256: digest(raw, door.hash),
  }
}

/** PostgreSQL has no U+0000 in texts; a record that is refused for one must not make its quarantine fail. */
function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed()
}

function summary(
  placement: Placement | undefined,
  refused: readonly RecordResult[],
  known: readonly RecordResult[],
): BatchResult {
  const accepted = placement?.acceptedCount ?? 0
  const firstIndex = placement === undefined || accepted === 0 ? null : placement.firstSequenceNumber - 1
  const duplicates = known.filter(({ status }) => status === 'duplicate').length
  return {
    accepted,
    duplicates,
    quarantined: refused.length + known.length - duplicates,
    firstIndex,
    lastIndex: firstIndex === null ? null : firstIndex + accepted - 1,
    results: [...refused, ...known].sort((a, b) => a.i - b.i),
  }
}
