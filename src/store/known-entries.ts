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
