import { type ActPart, actOf, type SignedAct } from './acts.ts'
import type { Schema } from './batch.ts'
import { type Row, readInteger, readIntegerOrNull, readText, readTextOrNull } from './row.ts'
import type { Query } from './session.ts'

/** An incident to be opened. Times are microseconds since 1970. */
export type NewIncident = {
  /** UUIDv7 text. */
  readonly id: string
  /** What the finding says: `PAYLOAD_CORRUPT`. */
  readonly violationType: string
  /** Type and place; of open incidents there is one a key. */
  readonly key: string
  readonly sequenceNumber: number | null
  /** 16,384 bytes at most, no U+0000. */
  readonly detail: string
  /** JSON of an object, 65,536 bytes at most. */
  readonly evidence: string
  readonly firstSeen: number
  readonly openedBy: string
}

/** An incident from its opening on, closed ones too. */
export type OpenedIncident = NewIncident & {
  readonly lastSeen: number
  /** How often it was found since it was opened. */
  readonly count: number
  readonly openedAt: number
  /** All null: it is open. */
  readonly closedAt: number | null
  readonly closedBy: string | null
  readonly closeReason: string | null
  /** JSON of an array: what was done on its own account, in that order; null: nothing. */
  readonly containment: string | null
}

/** An incident without what may be long. */
export type ListedIncident = Omit<OpenedIncident, 'evidence' | 'containment'>

const listedColumns = `id, violation_type, key, sequence_number, detail, opened_by, count,
  ${micros('first_seen')}, ${micros('last_seen')}, ${micros('opened_at')}, ${micros('closed_at')},
  closed_by, close_reason`
const columns = `${listedColumns}, evidence::text as evidence, containment::text as containment`

function micros(column: string): string {
  return `(extract(epoch from ${column}) * 1000000)::bigint as ${column}_us`
}

function timeOf(place: string): string {
  return `timestamptz '1970-01-01 00:00:00+00' + ${place}::bigint * interval '1 microsecond'`
}

/** Counts once more for the open incident of this key; its id, or undefined where none is open. */
export async function countIncident(query: Query, schema: Schema, key: string): Promise<string | undefined> {
  const [row] = await query(
    `update ${schema.state}.opened_incidents
     set count = count + 1, last_seen = greatest(last_seen, clock_timestamp())
     where key = $1 and closed_at is null
     returning id`,
    [key],
  )
  return row === undefined ? undefined : readText(row, 'id')
}

export type Opening = {
  readonly incident: NewIncident
  /** Names of the hooks that are told. */
  readonly hooks: readonly string[]
  /** So many open ones of its type are there at most; those who open at the same time may go a few beyond it. */
  readonly openMax: number
  /** The key of one that does not count for that. */
  readonly uncountedKey: string
  /** Undefined where the outbox has no room: `tellOpened` tells of it later. */
  readonly told: SignedAct | undefined
}

/**
 * Opens an incident, puts alarms of it into the queue and tells of it, all or nothing. False: nothing, since one of its
 * key is open (unique index opened_incidents_key), or so many of its type are.
 */
export async function insertIncident(query: Query, schema: Schema, opening: Opening): Promise<boolean> {
  const { incident, hooks, openMax, uncountedKey, told } = opening
  const { id, violationType, key, sequenceNumber, detail, evidence, firstSeen, openedBy } = incident
  const act: ActPart = told === undefined ? { text: 'select', values: [] } : actOf(schema, told, 13)
  const rows = await query(
    `with changed as (
       insert into ${schema.state}.opened_incidents
         (id, violation_type, key, sequence_number, detail, evidence, first_seen, last_seen, opened_by, is_told)
       select $1::uuid, $2, $3, $4::bigint, $5, $6::json, least(${timeOf('$7')}, now()), now(), $8, $9::boolean
       where (select count(*)
              from ${schema.state}.opened_incidents
              where violation_type = $2 and closed_at is null and key <> $12) < $10::bigint
       on conflict (key) where closed_at is null do nothing
       returning id),
     queued as (
       insert into ${schema.state}.alarms (incident, news, hook)
       select changed.id, 'opened', hook
       from changed, unnest($11::text[]) as hook),
     told as (${act.text})
     select id from changed`,
    [
      ...[id, violationType, key, sequenceNumber, detail, evidence, firstSeen, openedBy],
      ...[told !== undefined, openMax, hooks, uncountedKey, ...act.values],
    ],
  )
  return rows.length > 0
}

/** Incidents that were opened while the outbox had no room, the oldest first. */
export async function readUntoldOpened(
  query: Query,
  schema: Schema,
  limit: number,
): Promise<readonly OpenedIncident[]> {
  const rows = await query(
    `select ${columns} from ${schema.state}.opened_incidents where not is_told order by id limit $1`,
    [limit],
  )
  return rows.map(incidentOf)
}

/** Tells of an opening, unless somebody did already. */
export async function tellOpened(query: Query, schema: Schema, id: string, act: SignedAct): Promise<void> {
  const told = actOf(schema, act, 2)
  await query(
    `with changed as (
       update ${schema.state}.opened_incidents
       set is_told = true
       where id = $1 and not is_told
       returning id),
     told as (${told.text})
     select id from changed`,
    [id, ...told.values],
  )
}

/**
 * Closes an incident, lets the hooks know that were to be told of its opening, and tells of it, all or nothing.
 * Undefined: nothing, since none of this id is open.
 */
export async function closeIncident(
  query: Query,
  schema: Schema,
  { id, by, reason }: { readonly id: string; readonly by: string; readonly reason: string },
  act: SignedAct,
): Promise<OpenedIncident | undefined> {
  const told = actOf(schema, act, 4)
  const [row] = await query(
    `with changed as (
       update ${schema.state}.opened_incidents
       set closed_at = clock_timestamp(), closed_by = $2, close_reason = $3
       where id = $1 and closed_at is null
       returning *),
     queued as (
       insert into ${schema.state}.alarms (incident, news, hook)
       select alarms.incident, 'closed', alarms.hook
       from changed
       join ${schema.state}.alarms on alarms.incident = changed.id and alarms.news = 'opened'),
     told as (${told.text})
     select ${columns} from changed`,
    [id, by, reason, ...told.values],
  )
  return row === undefined ? undefined : incidentOf(row)
}

/**
 * Adds what was done about an incident (JSON of an array), lets the hooks know that were to be told of its opening, and
 * tells of it, all or nothing. False: nothing, since no incident has this id. `act` is undefined where the outbox has no
 * room: hooks are told all the same.
 */
export async function addContainment(
  query: Query,
  schema: Schema,
  { id, done }: { readonly id: string; readonly done: string },
  act: SignedAct | undefined,
): Promise<boolean> {
  const told: ActPart = act === undefined ? { text: 'select', values: [] } : actOf(schema, act, 3)
  const rows = await query(
    `with changed as (
       update ${schema.state}.opened_incidents
       set containment = coalesce(containment, '[]') || $2::jsonb
       where id = $1
       returning id, closed_at),
     queued as (
       insert into ${schema.state}.alarms (incident, news, hook)
       select alarms.incident, 'contained', alarms.hook
       from changed
       join ${schema.state}.alarms on alarms.incident = changed.id and alarms.news = 'opened'
       where changed.closed_at is null
       on conflict (incident, news, hook) do nothing),
     told as (${told.text})
     select id from changed`,
    [id, done, ...told.values],
  )
  return rows.length > 0
}

export async function readIncident(query: Query, schema: Schema, id: string): Promise<OpenedIncident | undefined> {
  const [row] = await query(`select ${columns} from ${schema.state}.opened_incidents where id = $1`, [id])
  return row === undefined ? undefined : incidentOf(row)
}

/** Which incidents are listed: those that are open, or closed ones too. */
export type IncidentState = 'open' | 'all'

/** Up to `limit` incidents behind the one of the id `after`, oldest first; from the first where that is undefined. */
export async function readIncidentsAfter(
  query: Query,
  schema: Schema,
  state: IncidentState,
  after: string | undefined,
  limit: number,
): Promise<readonly OpenedIncident[]> {
  const rows = await query(
    `select ${columns}
     from ${schema.state}.opened_incidents
     where ($1::uuid is null or id > $1::uuid)
       and ($2 = 'all' or closed_at is null)
     order by id
     limit $3`,
    [after ?? null, state, limit],
  )
  return rows.map(incidentOf)
}

/** Which incidents are looked for; undefined: whichever. */
export type IncidentFilter = {
  readonly state: 'open' | 'closed' | undefined
  readonly violationType: string | undefined
}

/** Up to `limit` before the one of the id `before`, newest first; from the newest where that is undefined. */
export async function readIncidentsBefore(
  query: Query,
  schema: Schema,
  { state, violationType }: IncidentFilter,
  before: string | undefined,
  limit: number,
): Promise<readonly ListedIncident[]> {
  const rows = await query(
    `select ${listedColumns}
     from ${schema.state}.opened_incidents
     where ($1::uuid is null or id < $1::uuid)
       and ($2::boolean is null or (closed_at is null) = $2::boolean)
       and ($3::text is null or violation_type = $3::text)
     order by id desc
     limit $4`,
    [before ?? null, state === undefined ? null : state === 'open', violationType ?? null, limit],
  )
  return rows.map(listedOf)
}

export async function countOpenIncidents(query: Query, schema: Schema): Promise<OpenIncidents> {
  const [row = {}] = await query(
    `select count(*) filter (where violation_type not like 'WATCH\\_%') as violation,
       count(*) filter (where violation_type like 'WATCH\\_%') as watch
     from ${schema.state}.opened_incidents
     where closed_at is null`,
  )
  return { violation: readInteger(row, 'violation'), watch: readInteger(row, 'watch') }
}

/** Violations of the log, and what watch rules told of. */
export type OpenIncidents = { readonly violation: number; readonly watch: number }

function incidentOf(row: Row): OpenedIncident {
  return {
    ...listedOf(row),
    evidence: readText(row, 'evidence'),
    containment: readTextOrNull(row, 'containment'),
  }
}

function listedOf(row: Row): ListedIncident {
  return {
    id: readText(row, 'id'),
    violationType: readText(row, 'violation_type'),
    key: readText(row, 'key'),
    sequenceNumber: readIntegerOrNull(row, 'sequence_number'),
    detail: readText(row, 'detail'),
    firstSeen: readInteger(row, 'first_seen_us'),
    lastSeen: readInteger(row, 'last_seen_us'),
    count: readInteger(row, 'count'),
    openedAt: readInteger(row, 'opened_at_us'),
    openedBy: readText(row, 'opened_by'),
    closedAt: readIntegerOrNull(row, 'closed_at_us'),
    closedBy: readTextOrNull(row, 'closed_by'),
    closeReason: readTextOrNull(row, 'close_reason'),
  }
}
