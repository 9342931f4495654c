import type { Hash } from '../../tlog/hash.ts'
import type { Schema } from './batch.ts'
import type { Query } from './session.ts'

/** Why a log stopped, and where it stood. */
export type StoredIncident = {
  readonly code: string
  readonly detail: string
  readonly publishedSize: number
  readonly publishedRoot: Hash
  readonly integratedSize: number
  /** How often, since it was last written. */
  readonly count: number
}

/** Adds to the row of the same code at the same checkpoint, or begins one. */
export async function recordIncident(query: Query, schema: Schema, incident: StoredIncident): Promise<void> {
  await query(
    `insert into ${schema.state}.incidents as known
       (code, detail, published_size, published_root, integrated_size, count)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (code, published_size, published_root) do update
     set detail = excluded.detail,
         integrated_size = excluded.integrated_size,
         count = known.count + excluded.count,
         last_seen = clock_timestamp()`,
    [
      ...[incident.code, incident.detail, incident.publishedSize, incident.publishedRoot],
      ...[incident.integratedSize, incident.count],
    ],
  )
}
