import { actOf, type SignedAct } from './acts.ts'
import type { Schema } from './batch.ts'
import { readText } from './row.ts'
import type { Query } from './session.ts'

/** Names of settings and what they were, secrets hidden. */
export type RememberedSettings = Readonly<Record<string, string>>

/** With what a server ran last, and the text by which `tellSettings` knows it; undefined where it never did. */
export type Remembered = { readonly settings: RememberedSettings; readonly text: string }

export async function readSettings(query: Query, schema: Schema, server: string): Promise<Remembered | undefined> {
  const [row] = await query(
    `select settings::text as settings
     from ${schema.state}.settings
     where server = $1`,
    [server],
  )
  if (row === undefined) return undefined
  const text = readText(row, 'settings')
  return { settings: JSON.parse(text) as RememberedSettings, text }
}

/** Remembers the settings of a server that has none yet. */
export async function insertSettings(
  query: Query,
  schema: Schema,
  server: string,
  settings: RememberedSettings,
): Promise<void> {
  await query(
    `insert into ${schema.state}.settings (server, settings)
     values ($1, $2)
     on conflict (server) do nothing`,
    [server, JSON.stringify(settings)],
  )
}

/** Replaces what is remembered without an act: what differs says nothing. */
export async function updateSettings(
  query: Query,
  schema: Schema,
  server: string,
  settings: RememberedSettings,
): Promise<void> {
  await query(
    `update ${schema.state}.settings
     set settings = $2, updated_at = clock_timestamp()
     where server = $1`,
    [server, JSON.stringify(settings)],
  )
}

/** Replaces what is remembered and tells of it, unless it is `before` no more. */
export async function tellSettings(
  query: Query,
  schema: Schema,
  server: string,
  before: Remembered,
  settings: RememberedSettings,
  act: SignedAct,
): Promise<void> {
  const told = actOf(schema, act, 4)
  await query(
    `with changed as (
       update ${schema.state}.settings
       set settings = $2, updated_at = clock_timestamp()
       where server = $1 and settings = $3::jsonb
       returning server),
     told as (${told.text})
     select server from changed`,
    [server, JSON.stringify(settings), before.text, ...told.values],
  )
}
