import { actOf, type SignedAct } from './acts.ts'
import type { Schema } from './batch.ts'
import { readBoolean, readBytes, readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** A migration of this log's schema; `appliedAt` in microseconds since 1970. */
export type AppliedMigration = {
  readonly version: number
  readonly name: string
  readonly sha256: Uint8Array
  readonly appliedAt: number
}

/** Whether any migration was ever told or marked as told: if not, the log has just begun. */
export async function hasToldMigrations(query: Query, schema: Schema): Promise<boolean> {
  const [row] = await query(`select exists (select from ${schema.state}.told_migrations) as has`)
  return readBoolean(row ?? {}, 'has')
}

/** Marks all that are applied as told, without an act. */
export async function markMigrationsTold(query: Query, schema: Schema): Promise<void> {
  await query(
    `insert into ${schema.state}.told_migrations (version)
     select version from ${schema.state}.applied_migrations()
     on conflict (version) do nothing`,
  )
}

/** In the order of their numbers. */
export async function readUntoldMigrations(query: Query, schema: Schema): Promise<readonly AppliedMigration[]> {
  const rows = await query(
    `select version, name, sha256, (extract(epoch from applied_at) * 1000000)::bigint as applied_at_us
     from ${schema.state}.applied_migrations() as applied
     where not exists (select from ${schema.state}.told_migrations as told where told.version = applied.version)
     order by version`,
  )
  return rows.map((row) => ({
    version: readInteger(row, 'version'),
    name: readText(row, 'name'),
    sha256: readBytes(row, 'sha256'),
    appliedAt: readInteger(row, 'applied_at_us'),
  }))
}

/** Tells of a migration, unless somebody did already. */
export async function tellMigration(query: Query, schema: Schema, version: number, act: SignedAct): Promise<void> {
  const told = actOf(schema, act, 2)
  await query(
    `with changed as (
       insert into ${schema.state}.told_migrations (version)
       values ($1)
       on conflict (version) do nothing
       returning version),
     told as (${told.text})
     select version from changed`,
    [version, ...told.values],
  )
}
