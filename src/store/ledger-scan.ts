import type { Schema } from './batch.ts'
import { asNumber, type CopiedRow, type ReadSession } from './copy-out.ts'
import { readInteger } from './row.ts'
import type { Query } from './session.ts'

/**
 * What a superuser put there may be longer than memory is: it is no payload of ours, whatever is in it. Only what is
 * stored in more than 16 KiB can have so much text: compression makes it 255 times as small at most.
 */
const payload = `case when pg_column_size(payload) > 16384 and octet_length(payload::text) > 4194304
  then '"longer than a payload may be"' else payload end`

/**
 * The columns of a row as it is scanned. The types are said again in the statement: where a superuser gave a column
 * another type, its values are still read, if they can be.
 */
const columns = [
  ['sequenceNumber', 'sequence_number', 'bigint'],
  ['timestamp', 'timestamp', 'timestamptz'],
  ['actorId', 'actor_id', 'text'],
  ['action', 'action', 'text'],
  ['resource', 'resource', 'text'],
  ['payload', 'PAYLOAD', 'jsonb'],
  ['previousHash', 'previous_hash', 'text'],
  ['currentHash', 'current_hash', 'text'],
  ['clientIp', 'client_ip', 'text'],
  ['eventId', 'event_id', 'uuid'],
  ['occurredAt', 'occurred_at', 'timestamptz'],
  ['lamport', 'lamport', 'bigint'],
  ['writer', 'writer', 'text'],
  ['sourcePosition', 'source_position', 'text'],
  ['payloadHash', 'payload_hash', 'bytea'],
  ['leafHash', 'leaf_hash', 'bytea'],
  // Not the ledger's: the number under which the entry's id is known. Asked for with the row, it costs half.
  ['knownAs', '(select k.sequence_number from IDS k where k.event_id = a.event_id limit 1)', 'bigint'],
] as const

export type ScannedColumn = (typeof columns)[number][0]

/** Place of each column in a row. */
export const columnOf: Readonly<Record<ScannedColumn, number>> = Object.fromEntries(
  columns.map(([name], i) => [name, i]),
) as Record<ScannedColumn, number>

/**
 * Reads rows with sequence numbers above `above`, up to `upTo`, in their order; see ReadSession.copy. Through a driver's
 * rows it would be 17 values each, and a second conversion of what is hashed.
 */
export function scanLedger(
  session: ReadSession,
  schema: Schema,
  above: number,
  upTo: number,
  take: (row: CopiedRow) => void,
): Promise<void> {
  return session.copy(statementOf(schema, above, upTo), columns.length, take)
}

function statementOf(schema: Schema, above: number, upTo: number): string {
  const list = columns.map(([, column, type]) => bounded(`(${column})::${type}`, type)).join(', ')
  return `copy (
    select ${list.replace('PAYLOAD', payload).replace('IDS', `${schema.evidence}.entry_ids`)}
    from ${schema.evidence}.audit_logs a
    where a.sequence_number > ${asNumber(above)} and a.sequence_number <= ${asNumber(upTo)}
    order by a.sequence_number
  ) to stdout (format binary)`
}

/** More than what any of them may have is as good as all of it. */
const textBytesMax = 4_096

function bounded(value: string, type: string): string {
  if (type !== 'text' && type !== 'bytea') return value
  return `case when octet_length(${value}) > ${textBytesMax} then substr(${value}, 1, ${textBytesMax + 1}) else ${value} end`
}

/** The number of the next row behind `above`, up to `upTo`, by the key alone; undefined where there is none. */
export async function readNextNumber(
  query: Query,
  schema: Schema,
  above: number,
  upTo: number,
): Promise<number | undefined> {
  const [row] = await query(
    `select sequence_number
     from ${schema.evidence}.audit_logs
     where sequence_number > $1 and sequence_number <= $2
     order by sequence_number
     limit 1`,
    [above, upTo],
  )
  return row === undefined ? undefined : readInteger(row, 'sequence_number')
}
