import { parseHex } from '../../tlog/bytes.ts'
import type { LeafFields } from '../../tlog/entry.ts'
import type { Hash } from '../../tlog/hash.ts'
import type { Schema } from './batch.ts'
import { DamagedEntry, isGone } from './damaged-entry.ts'
import { type Row, readHash, readInteger, readIntegerOrNull, readText, readTextOrNull } from './row.ts'
import type { Query } from './session.ts'

/** What the ledger holds of an entry beside its payload: a few kilobytes at most. Nothing of it is checked yet. */
export type StoredColumns = {
  readonly fields: LeafFields
  /** Lower-case hex, 64 digits. */
  readonly previousHash: string
  readonly leafHash: Hash
}

/** An entry as the ledger holds it. Nothing of it is checked yet. */
export type StoredEntry = StoredColumns & {
  /** JSON of the payload, as PostgreSQL prints jsonb or as it was submitted. */
  readonly payloadText: string
}

/** Reads of ranges: sequence numbers, both ends included, in order. What is not there is left out. */
export type EntryReads = {
  /** Without payloads. */
  readonly readColumns: (from: number, to: number) => Promise<readonly StoredColumns[]>
  readonly readEntries: (from: number, to: number) => Promise<readonly StoredEntry[]>
  /**
   * How many bytes each payload has as PostgreSQL prints it. It prints 1e308 with all of its digits: a payload of 1 MiB
   * of canonical JSON may have 50 MB.
   */
  readonly readPayloadSizes: (from: number, to: number) => Promise<readonly number[]>
  /** Of these numbers, in their order; each must be there. */
  readonly readEntriesAt: (numbers: readonly number[]) => Promise<readonly StoredEntry[]>
  readonly readPayloadSizesAt: (numbers: readonly number[]) => Promise<readonly number[]>
}

export function entryReads(query: Query, schema: Schema): EntryReads {
  return {
    readColumns: (from, to) => readColumns(query, schema, from, to),
    readEntries: (from, to) => readEntries(query, schema, from, to),
    readPayloadSizes: (from, to) => readPayloadSizes(query, schema, from, to),
    readEntriesAt: (numbers) => readEntriesAt(query, schema, numbers),
    readPayloadSizesAt: (numbers) => readPayloadSizesAt(query, schema, numbers),
  }
}

const columns = `sequence_number, event_id, lamport, actor_id, action, resource, client_ip, writer, source_position,
       previous_hash, current_hash, payload_hash, leaf_hash,
       (extract(epoch from timestamp) * 1000000)::bigint as timestamp_us,
       (extract(epoch from occurred_at) * 1000000)::bigint as occurred_at_us`
const allColumns = `${columns}, payload::text as payload_text`

async function readColumns(query: Query, schema: Schema, from: number, to: number): Promise<readonly StoredColumns[]> {
  const rows = await query(
    `select ${columns}
     from ${schema.evidence}.audit_logs
     where sequence_number between $1 and $2
     order by sequence_number`,
    [from, to],
  )
  return rows.map(columnsOf)
}

async function readPayloadSizes(query: Query, schema: Schema, from: number, to: number): Promise<readonly number[]> {
  const rows = await query(
    `select octet_length(payload::text) as payload_bytes
     from ${schema.evidence}.audit_logs
     where sequence_number between $1 and $2
     order by sequence_number`,
    [from, to],
  )
  return rows.map((row) => readInteger(row, 'payload_bytes'))
}

/** The sequence number under which an id (UUID text) was logged. */
export async function findSequenceNumber(query: Query, schema: Schema, id: string): Promise<number | undefined> {
  const [row] = await query(`select sequence_number from ${schema.evidence}.entry_ids where event_id = $1`, [id])
  return row === undefined ? undefined : readInteger(row, 'sequence_number')
}

/** Entries of a range of sequence numbers, both ends included, in order. */
export async function readEntries(query: Query, schema: Schema, from: number, to: number): Promise<StoredEntry[]> {
  const rows = await query(
    `select ${allColumns}
     from ${schema.evidence}.audit_logs
     where sequence_number between $1 and $2
     order by sequence_number`,
    [from, to],
  )
  return rows.map(entryOf)
}

async function readEntriesAt(query: Query, schema: Schema, numbers: readonly number[]): Promise<StoredEntry[]> {
  const rows = await query(
    `select ${allColumns}
     from ${schema.evidence}.audit_logs
     where sequence_number = any($1::bigint[])`,
    [numbers],
  )
  return inOrder(rows, numbers).map(entryOf)
}

async function readPayloadSizesAt(query: Query, schema: Schema, numbers: readonly number[]): Promise<number[]> {
  const rows = await query(
    `select sequence_number, octet_length(payload::text) as payload_bytes
     from ${schema.evidence}.audit_logs
     where sequence_number = any($1::bigint[])`,
    [numbers],
  )
  return inOrder(rows, numbers).map((row) => readInteger(row, 'payload_bytes'))
}

/** Throws DamagedEntry where a number is missing. */
function inOrder(rows: readonly Row[], numbers: readonly number[]): Row[] {
  const byNumber = new Map(rows.map((row) => [readInteger(row, 'sequence_number'), row]))
  return numbers.map((n) => {
    const row = byNumber.get(n)
    if (row === undefined) throw new DamagedEntry(n, isGone)
    return row
  })
}

function entryOf(row: Row): StoredEntry {
  return { ...columnsOf(row), payloadText: readText(row, 'payload_text') }
}

function columnsOf(row: Row): StoredColumns {
  return {
    fields: {
      sequenceNumber: readInteger(row, 'sequence_number'),
      eventId: parseHex(readText(row, 'event_id').replaceAll('-', '')),
      timestamp: readInteger(row, 'timestamp_us'),
      occurredAt: readIntegerOrNull(row, 'occurred_at_us'),
      lamport: readIntegerOrNull(row, 'lamport'),
      actorId: readText(row, 'actor_id'),
      action: readText(row, 'action'),
      resource: readText(row, 'resource'),
      clientIp: readText(row, 'client_ip'),
      writer: readText(row, 'writer'),
      sourcePosition: readTextOrNull(row, 'source_position'),
      payloadHash: readHash(row, 'payload_hash'),
      currentHash: parseHex(readText(row, 'current_hash')) as Hash,
    },
    previousHash: readText(row, 'previous_hash'),
    leafHash: readHash(row, 'leaf_hash'),
  }
}
