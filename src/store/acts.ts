import type { Schema } from './batch.ts'
import { readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** Something that the log did, or somebody with it: what an entry of a reserved action will say. */
export type Act = {
  /** UUIDv7 text, lower case: the id of its entry. */
  readonly id: string
  /** `dendrolog.<kind>`, 100 characters at most. */
  readonly action: string
  /** Who did it: `token:NAME`, or `dendrolog` for the log itself; 1 to 255 characters, as `resource`. */
  readonly actorId: string
  /** What it is about. */
  readonly resource: string
  /** Microseconds since 1970. */
  readonly occurredAt: number
  /** Never a secret or a hash of one; no member `signature`, no U+0000; 65,536 bytes of JSON at most. */
  readonly detail: Readonly<Record<string, unknown>>
}

/** An act with the log's signature: the text of a signed note (`tlog/own-act.ts`). */
export type SignedAct = Act & { readonly signature: string }

/** Gives an act its id and time and signs it; rejects where the key cannot be asked. Made once, where the keys are; passed to whoever has something to tell. */
export type SignAct = (said: Omit<Act, 'id' | 'occurredAt'>) => Promise<SignedAct>

/** Puts an act into the outbox, as `insertActs` does. */
export function insertAct(query: Query, schema: Schema, act: SignedAct): Promise<void> {
  return insertActs(query, schema, [act])
}

/**
 * Puts acts into the outbox, in this order; those whose ids it has change nothing, so that what failed may be tried
 * again. Rejects with SQLSTATE 53400, an outage that passes, where 10,000 are in it: what cannot be told must not be
 * done.
 */
export async function insertActs(query: Query, schema: Schema, acts: readonly SignedAct[]): Promise<void> {
  const rows = acts.map((act) => ({ ...act, detail: JSON.stringify(act.detail) }))
  await query(
    `insert into ${schema.state}.acts (${columns})
     select id, action, "actorId", resource, ${timeOf('"occurredAt"')}, detail::jsonb, signature
     from jsonb_array_elements($1::jsonb) with ordinality as element (act, place),
       jsonb_to_record(act) as said
         (id uuid, action text, "actorId" text, resource text, "occurredAt" bigint, detail text, signature text)
     order by place
     on conflict (id) do nothing`,
    [JSON.stringify(rows)],
  )
}

/** A part of a statement and the values that it adds to the statement's own. */
export type ActPart = { readonly text: string; readonly values: readonly unknown[] }

/**
 * For a statement that changes something and tells of it, both or neither:
 *
 *     const act = actOf(schema, signed, 3)
 *     query(`with changed as (update ... where id = $1 and ... $2 returning id),
 *            told as (${act.text})
 *            select id from changed`, [id, until, ...act.values])
 *
 * It is told once if `changed` has a row and not at all if it has none. `first`: the number of the first free parameter.
 */
export function actOf(schema: Schema, act: SignedAct, first: number): ActPart {
  const text = `insert into ${schema.state}.acts (${columns})
     select ${placesFrom(first)} where exists (select from changed)`
  return { text, values: valuesOf(act) }
}

/** Times that entries can have; `infinity`, which nobody of us wrote, has no number of microseconds. */
const timeInRange = `least(greatest(occurred_at, timestamptz '1970-01-01 00:00:00+00'), timestamptz '2254-12-31 00:00:00+00')`

/** The oldest acts in the outbox, at most `limit`, in the order in which they were put there. */
export async function readOldestActs(query: Query, schema: Schema, limit: number): Promise<readonly SignedAct[]> {
  const rows = await query(
    `select id, action, actor, resource, (extract(epoch from ${timeInRange}) * 1000000)::bigint as occurred_at_us,
            detail::text as detail, signature
     from ${schema.state}.acts
     order by created_at, id
     limit $1`,
    [limit],
  )
  return rows.map((row) => ({
    id: readText(row, 'id'),
    action: readText(row, 'action'),
    actorId: readText(row, 'actor'),
    resource: readText(row, 'resource'),
    occurredAt: readInteger(row, 'occurred_at_us'),
    detail: JSON.parse(readText(row, 'detail')) as Record<string, unknown>,
    signature: readText(row, 'signature'),
  }))
}

/** Takes acts out of the outbox. Only those whose entries are durable, or that can never become entries. */
export async function deleteActs(query: Query, schema: Schema, ids: readonly string[]): Promise<void> {
  await query(`delete from ${schema.state}.acts where id = any ($1::uuid[])`, [ids])
}

const columns = 'id, action, actor, resource, occurred_at, detail, signature'

/** The instant of so many microseconds since 1970. */
function timeOf(microseconds: string): string {
  return `timestamptz '1970-01-01 00:00:00+00' + ${microseconds} * interval '1 microsecond'`
}

function placesFrom(first: number): string {
  const at = (i: number): string => `$${first + i}`
  const texts = `${at(0)}::uuid, ${at(1)}::text, ${at(2)}::text, ${at(3)}::text`
  return `${texts}, ${timeOf(`${at(4)}::bigint`)}, ${at(5)}::jsonb, ${at(6)}::text`
}

function valuesOf(act: SignedAct): readonly unknown[] {
  const { id, action, actorId, resource, occurredAt, detail, signature } = act
  return [id, action, actorId, resource, occurredAt, JSON.stringify(detail), signature]
}
