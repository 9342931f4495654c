import { parseUuid, uuidUnixMs } from '../../tlog/uuid.ts'
import type { Schema } from './batch.ts'
import { type Row, readHash, readInteger, readIntegerOrNull, readText } from './row.ts'
import type { Query } from './session.ts'

/** What the ledger holds under an id: enough to tell a retry from a conflict. */
export type KnownEntry = {
  /** Lower-case UUID text. */
  readonly eventId: string
  readonly sequenceNumber: number
  /** Null where the row is not there: archived with its partition. */
  readonly content: KnownContent | null
}

export type KnownContent = {
  readonly occurredAt: number | null
  readonly lamport: number | null
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly payloadHash: Uint8Array
}

/** The known ones of `ids` (UUID texts). About 2 us an id. */
export async function findKnownEntries(
  query: Query,
  schema: Schema,
  ids: readonly string[],
): Promise<readonly KnownEntry[]> {
  const rows = await query(`select * from ${schema.evidence}.known_entries($1::uuid[])`, [ids])
  return rows.map((row) => ({
    eventId: readText(row, 'event_id'),
    sequenceNumber: readInteger(row, 'sequence_number'),
    content: row.payload_hash === null ? null : contentOf(row),
  }))
}

/** So many ids ahead of their time are read at most; others are looked up one by one. */
const idsAheadMax = 65_536

/**
 * The ids (16 bytes) of the ledger whose time is `fromMs` or later, milliseconds since 1970. All of them from
 * `horizonMs` on: that is `fromMs`, or later where there are too many.
 */
export async function readIdsFrom(
  query: Query,
  schema: Schema,
  fromMs: number,
): Promise<{ readonly horizonMs: number; readonly ids: readonly Uint8Array[] }> {
  const from = firstIdOf(fromMs)
  const rows = await query(`select id from ${schema.evidence}.newest_ids($1, $2) as id`, [from, idsAheadMax])
  const ids = rows.map((row) => parseUuid(readText(row, 'id')))
  const oldest = ids.at(-1)
  if (oldest === undefined || ids.length < idsAheadMax) return { horizonMs: fromMs, ids }
  return { horizonMs: uuidUnixMs(oldest) + 1, ids }
}

/** The lowest UUID of a time, as text. */
function firstIdOf(unixMs: number): string {
  const time = unixMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`
}

function contentOf(row: Row): KnownContent {
  return {
    occurredAt: readIntegerOrNull(row, 'occurred_at_us'),
    lamport: readIntegerOrNull(row, 'lamport'),
    actorId: readText(row, 'actor_id'),
    action: readText(row, 'action'),
    resource: readText(row, 'resource'),
    payloadHash: readHash(row, 'payload_hash'),
  }
}
