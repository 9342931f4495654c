/** What the tests of the schema share: connections that are closed after each test, and one valid row for each table. */
import type { Readable } from 'node:stream'
import { Client, type ClientConfig, DatabaseError, type Submittable } from 'pg'
import { afterEach } from 'vitest'

declare module 'pg-copy-streams' {
  /** `copy ... to stdout`: the rows as bytes. */
  export function to(text: string): Readable & Submittable
}

const open: Client[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()))
})

export async function connect(config: ClientConfig): Promise<Client> {
  const client = new Client(config)
  client.on('error', () => {})
  await client.connect()
  open.push(client)
  return client
}

/** The SQLSTATE of the statement's failure, or 'ok'. */
export async function outcome(client: Client, sql: string, values: readonly unknown[] = []): Promise<string> {
  try {
    await client.query(sql, [...values])
    return 'ok'
  } catch (error) {
    if (error instanceof DatabaseError) return error.code ?? 'no code'
    throw error
  }
}

/** As `outcome`, and what the statement did is undone. */
export async function outcomeUndone(client: Client, sql: string): Promise<string> {
  await client.query('begin')
  try {
    return await outcome(client, sql)
  } finally {
    await client.query('rollback')
  }
}

export const appendOnly = 'DL001'
export const guarded = 'DL002'
export const denied = '42501'

const bytes = (count: number, byte = '00'): string => `decode(repeat('${byte}', ${count}), 'hex')`

export const root = bytes(32)
export const otherRoot = bytes(32, '11')

export function ledgerRow(sequenceNumber: number): string {
  return `insert into security.audit_logs
    (sequence_number, timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip,
     event_id, occurred_at, lamport, writer, payload_hash, leaf_hash)
    values (${sequenceNumber}, now(), 'a', 'b', 'c', '{}', repeat('0', 64), repeat('1', 64), '::',
      ${eventId(sequenceNumber)}, '2026-01-02T03:04:05.678901Z', 7, 'token:t', ${root}, ${otherRoot})`
}

export function eventId(sequenceNumber: number): string {
  return `('00000000-0000-7000-8000-' || lpad('${sequenceNumber}', 12, '0'))::uuid`
}

export function headRow(size: number, previousSize: number | null, headRoot = root, previousRoot = root): string {
  return `insert into security.tree_heads
    (tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal)
    values (${size}, ${headRoot}, ${root}, '', 0,
      ${previousSize}, ${previousSize === null ? 'null' : previousRoot}, ${root})`
}

export function checkpointRow(number: number, size: number, timestampMs: number): string {
  return `insert into security.checkpoints (number, tree_size, root_hash, timestamp_ms, note, sth_signature)
    values (${number}, ${size}, ${root}, ${timestampMs}, 'n', '')`
}

/** A row for each evidence table, insertable where head 0 is the only row. */
export const evidenceRows: Readonly<Record<string, string>> = {
  audit_logs: ledgerRow(1),
  entry_ids: `insert into security.entry_ids (event_id, sequence_number) values (${eventId(1)}, 1)`,
  tiles: `insert into security.tiles (level, tile_index, hashes) values (0, 0, ${bytes(8192)})`,
  tree_heads: headRow(1, 0),
  checkpoints: checkpointRow(0, 0, 1),
  cosignatures: `insert into security.cosignatures (checkpoint_number, witness, line) values (0, 'w', 'l')`,
  anchors: `insert into security.anchors (anchor_id, checkpoint_number, kind, evidence)
    values (${eventId(1)}, 0, 'rfc3161', '')`,
  archive_manifests: `insert into security.archive_manifests (manifest_id, kind, first_index, last_index, manifest)
    values (${eventId(1)}, 'parquet', 0, 1, '{}')`,
  findings: `insert into security.findings (finding_id, code, detail, evidence)
    values (${eventId(1)}, 'C', 'd', '{}')`,
  verifier_progress: `insert into security.verifier_progress (verifier, position) values ('v', 1)`,
  quarantine: `insert into security.quarantine (quarantine_id, writer, code, detail, raw, raw_sha256)
    values (${eventId(1)}, 'w', 'c', 'd', '', ${root})`,
}

const changedColumns: Readonly<Record<string, string>> = {
  audit_logs: 'actor_id',
  entry_ids: 'sequence_number',
  tiles: 'hashes',
  tree_heads: 'seal',
  checkpoints: 'note',
  cosignatures: 'line',
  anchors: 'kind',
  archive_manifests: 'kind',
  findings: 'code',
  verifier_progress: 'position',
  quarantine: 'code',
}

/** Sets a column of every row to itself. Partitions have the ledger's columns. */
export function updateOf(table: string): string {
  const column = changedColumns[table] ?? 'actor_id'
  return `update security.${table} set ${column} = ${column}`
}

export const evidenceTables: readonly string[] = Object.keys(evidenceRows)
export const firstPartitions = ['audit_logs_p0000000000000001', 'audit_logs_p0000000000065537'] as const
/** Made by ensure_partitions(1), long after the migration. */
export const laterPartition = 'audit_logs_p0000000000131073'

/** As the owner, which no login is: the superuser's session with the owner's rights. */
export async function connectAsOwner(admin: ClientConfig): Promise<Client> {
  const client = await connect(admin)
  await client.query('set role ledger_owner_role')
  return client
}
