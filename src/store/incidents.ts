import type { Hash } from '../../tlog/hash.ts'
import { actOf, type SignedAct } from './acts.ts'
import type { Schema } from './batch.ts'
import { readHash, readInteger, readText } from './row.ts'
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

/** An incident that no act tells of yet. Times are microseconds since 1970. */
export type UntoldIncident = {
  readonly code: string
  readonly detail: string
  readonly publishedSize: number
  readonly publishedRoot: Hash
  readonly count: number
  readonly firstSeen: number
  readonly lastSeen: number
}

/** The oldest of them, at most `limit`. */
export async function readUntoldIncidents(
  query: Query,
  schema: Schema,
  limit: number,
): Promise<readonly UntoldIncident[]> {
  const rows = await query(
    `select code, detail, published_size, published_root, count,
            (extract(epoch from first_seen) * 1000000)::bigint as first_seen_us,
            (extract(epoch from last_seen) * 1000000)::bigint as last_seen_us
     from ${schema.state}.incidents
     where told_at is null
     order by first_seen
     limit $1`,
    [limit],
  )
  return rows.map((row) => ({
    code: readText(row, 'code'),
    detail: readText(row, 'detail'),
    publishedSize: readInteger(row, 'published_size'),
    publishedRoot: readHash(row, 'published_root'),
    count: readInteger(row, 'count'),
    firstSeen: readInteger(row, 'first_seen_us'),
    lastSeen: readInteger(row, 'last_seen_us'),
  }))
}

/** Tells of an incident, unless somebody did already. */
export async function tellIncident(
  query: Query,
  schema: Schema,
  { code, publishedSize, publishedRoot }: UntoldIncident,
  act: SignedAct,
): Promise<void> {
  const told = actOf(schema, act, 4)
  await query(
    `with changed as (
       update ${schema.state}.incidents
       set told_at = clock_timestamp()
       where code = $1 and published_size = $2 and published_root = $3 and told_at is null
       returning code),
     told as (${told.text})
     select code from changed`,
    [code, publishedSize, publishedRoot, ...told.values],
  )
}
