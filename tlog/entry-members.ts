import { formatHex } from './bytes.ts'
import type { LeafFields } from './entry.ts'
import { formatMicroseconds } from './time.ts'
import { formatUuid } from './uuid.ts'

/** The members of an entry that its leaf holds, as the server prints them. */
export function entryMembers(fields: LeafFields): Readonly<Record<string, string | number | null>> {
  return {
    sequenceNumber: fields.sequenceNumber,
    id: formatUuid(fields.eventId),
    timestamp: formatMicroseconds(fields.timestamp),
    occurredAt: fields.occurredAt === null ? null : formatMicroseconds(fields.occurredAt),
    lamport: fields.lamport,
    actorId: fields.actorId,
    action: fields.action,
    resource: fields.resource,
    clientIp: fields.clientIp,
    writer: fields.writer,
    sourcePosition: fields.sourcePosition,
    payloadHash: formatHex(fields.payloadHash),
    currentHash: formatHex(fields.currentHash),
  }
}
