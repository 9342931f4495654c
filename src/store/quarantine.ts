import type { Schema } from './batch.ts'
import type { Query } from './session.ts'

/** A record that could not become an entry: its bytes and the reason. */
export type QuarantinedRecord = {
  readonly quarantineId: string
  readonly writer: string
  readonly sourcePosition: string | null
  readonly code: string
  readonly detail: string
  readonly pointer: string | null
  readonly raw: Uint8Array
  readonly rawSha256: Uint8Array
}

/** Stores all of them durably, in one statement. */
export async function insertQuarantined(
  query: Query,
  schema: Schema,
  records: readonly QuarantinedRecord[],
): Promise<void> {
  await query(
    `insert into ${schema.evidence}.quarantine
       (quarantine_id, writer, source_position, code, detail, pointer, raw, raw_sha256)
     select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[])`,
    [
      records.map((record) => record.quarantineId),
      records.map((record) => record.writer),
      records.map((record) => record.sourcePosition),
      records.map((record) => record.code),
      records.map((record) => record.detail),
      records.map((record) => record.pointer),
      records.map((record) => Buffer.from(record.raw)),
      records.map((record) => Buffer.from(record.rawSha256)),
    ],
  )
}
