// The queue of what hooks have to be told. A row is claimed by pushing its `next_at` forward: whoever claimed it and
// dies lets it go by saying nothing.
import type { Schema } from './batch.ts'
import { readInteger, readIntegerOrNull, readText, readTextOrNull } from './row.ts'
import type { Query } from './session.ts'

/** What happened to an incident. */
export type News = 'opened' | 'contained' | 'closed'

/** An alarm that is ours for a while. */
export type ClaimedAlarm = {
  readonly id: string
  /** Id of the incident. */
  readonly incident: string
  readonly news: News
  /** This one counted. */
  readonly attempts: number
}

/**
 * The alarm of this hook that waits the longest and is due, ours for `leaseMs`; undefined where none is. What
 * came of an incident is not told before what is still tried of what was before it.
 */
export async function claimAlarm(
  query: Query,
  schema: Schema,
  hook: string,
  leaseMs: number,
): Promise<ClaimedAlarm | undefined> {
  const [row] = await query(
    `update ${schema.state}.alarms
     set attempts = attempts + 1, next_at = ${after('$2')}
     where id = (
       select due.id
       from ${schema.state}.alarms due
       where due.hook = $1 and due.next_at <= clock_timestamp()
         and due.delivered_at is null and due.dead_at is null
         and (due.news = 'opened' or not exists (
           select
           from ${schema.state}.alarms earlier
           where earlier.incident = due.incident and earlier.hook = due.hook
             and (earlier.news = 'opened' or earlier.news = 'contained' and due.news = 'closed')
             and earlier.delivered_at is null and earlier.dead_at is null))
       order by due.next_at
       limit 1
       for update skip locked)
     returning id, incident, news, attempts`,
    [hook, leaseMs],
  )
  if (row === undefined) return undefined
  const news = readNews(readText(row, 'news'))
  return {
    id: readText(row, 'id'),
    incident: readText(row, 'incident'),
    news,
    attempts: readInteger(row, 'attempts'),
  }
}

/** How an attempt ended. */
export type Settled =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly error: string; readonly retryMs: number }
  | { readonly kind: 'dead'; readonly error: string }

/** Writes down how the attempt ended; false where the alarm is not ours any more. `error`: 1,000 characters at most. */
export async function settleAlarm(
  query: Query,
  schema: Schema,
  { id, attempts }: ClaimedAlarm,
  settled: Settled,
): Promise<boolean> {
  const error = settled.kind === 'delivered' ? null : settled.error
  const retryMs = settled.kind === 'failed' ? settled.retryMs : null
  const rows = await query(
    `update ${schema.state}.alarms
     set last_error = $4,
         delivered_at = case when $3 = 'delivered' then clock_timestamp() end,
         dead_at = case when $3 = 'dead' then clock_timestamp() end,
         next_at = case when $3 = 'failed' then ${after('$5')} else next_at end
     where id = $1 and attempts = $2 and delivered_at is null and dead_at is null
     returning id`,
    [id, attempts, settled.kind, error, retryMs],
  )
  return rows.length > 0
}

/** Gives up what waits for hooks that nobody has any more: undelivered for `ageMs`, whatever was tried. */
export async function buryOldAlarms(query: Query, schema: Schema, ageMs: number): Promise<void> {
  await query(
    `update ${schema.state}.alarms
     set dead_at = clock_timestamp(), last_error = coalesce(last_error, 'no server has this hook')
     where delivered_at is null and dead_at is null and created_at < ${after('-$1')} and next_at < clock_timestamp()`,
    [ageMs],
  )
}

/** Of each hook that ever had an alarm. */
export type AlarmCounts = { readonly hook: string; readonly pending: number; readonly dead: number }

export async function countAlarms(query: Query, schema: Schema): Promise<readonly AlarmCounts[]> {
  const rows = await query(
    `select hook,
            count(*) filter (where delivered_at is null and dead_at is null) as pending,
            count(*) filter (where dead_at is not null) as dead
     from ${schema.state}.alarms
     group by hook
     order by hook`,
  )
  return rows.map((row) => ({
    hook: readText(row, 'hook'),
    pending: readInteger(row, 'pending'),
    dead: readInteger(row, 'dead'),
  }))
}

/** What an operator sees of an alarm. Times are microseconds since 1970. */
export type ListedAlarm = Omit<ClaimedAlarm, 'attempts'> & {
  readonly hook: string
  readonly state: 'pending' | 'delivered' | 'dead'
  readonly attempts: number
  readonly lastError: string | null
  readonly createdAt: number
  /** Of the delivery, or of giving up; null while it is tried. */
  readonly settledAt: number | null
}

/** The oldest dead letters, at most `limit`. */
export function readDeadAlarms(query: Query, schema: Schema, limit: number): Promise<readonly ListedAlarm[]> {
  return readAlarms(query, schema, 'dead_at is not null', limit, [])
}

/** What hooks were told of an incident, or were to be. */
export function readAlarmsOf(query: Query, schema: Schema, incident: string): Promise<readonly ListedAlarm[]> {
  return readAlarms(query, schema, 'incident = $2', alarmsOfIncidentMax, [incident])
}

const alarmsOfIncidentMax = 100

async function readAlarms(
  query: Query,
  schema: Schema,
  condition: string,
  limit: number,
  values: readonly unknown[],
): Promise<readonly ListedAlarm[]> {
  const rows = await query(
    `select id, incident, news, hook, attempts, last_error,
            case when delivered_at is not null then 'delivered'
                 when dead_at is not null then 'dead'
                 else 'pending' end as state,
            (extract(epoch from created_at) * 1000000)::bigint as created_us,
            (extract(epoch from coalesce(delivered_at, dead_at)) * 1000000)::bigint as settled_us
     from ${schema.state}.alarms
     where ${condition}
     order by created_at, id
     limit $1`,
    [limit, ...values],
  )
  return rows.map((row) => ({
    id: readText(row, 'id'),
    incident: readText(row, 'incident'),
    news: readNews(readText(row, 'news')),
    hook: readText(row, 'hook'),
    state: readState(readText(row, 'state')),
    attempts: readInteger(row, 'attempts'),
    lastError: readTextOrNull(row, 'last_error'),
    createdAt: readInteger(row, 'created_us'),
    settledAt: readIntegerOrNull(row, 'settled_us'),
  }))
}

/**
 * Has dead letters tried again from the first attempt on, these or all; how many alarms that made. With an opening its
 * closing is told again, after it: otherwise a pager would go on for what is closed.
 */
export async function reviveAlarms(query: Query, schema: Schema, ids: readonly string[] | 'all'): Promise<number> {
  const rows = await query(
    `with dead as (
       select id, incident, hook, news
       from ${schema.state}.alarms
       where dead_at is not null and ($1::uuid[] is null or id = any ($1::uuid[])))
     update ${schema.state}.alarms
     set delivered_at = null, dead_at = null, attempts = 0, created_at = now(), next_at = now()
     where id in (select dead.id from dead)
        or news = 'closed' and exists (
          select
          from dead
          where dead.incident = alarms.incident and dead.hook = alarms.hook and dead.news = 'opened')
     returning id`,
    [ids === 'all' ? null : ids],
  )
  return rows.length
}

/** So many milliseconds from now. */
function after(milliseconds: string): string {
  return `clock_timestamp() + ${milliseconds}::float8 * interval '1 millisecond'`
}

function readNews(text: string): News {
  if (text === 'opened' || text === 'contained' || text === 'closed') return text
  throw new RangeError(`news of an alarm: got ${text}`)
}

function readState(text: string): ListedAlarm['state'] {
  if (text === 'pending' || text === 'delivered' || text === 'dead') return text
  throw new RangeError(`state of an alarm: got ${text}`)
}
