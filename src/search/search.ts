import type { LeafFields } from '../../tlog/entry.ts'
import type { Schema } from '../store/batch.ts'
import { type Condition, findFirstFrom, findNumbers, type NumberRange } from '../store/search.ts'
import type { Query } from '../store/session.ts'

/** What is searched for. Times are microseconds since 1970, of the entries' own `timestamp`. */
export type Search = {
  readonly conditions: readonly Condition[]
  /** From this time on, and before that one. */
  readonly fromTime: number | undefined
  readonly toTime: number | undefined
  readonly order: 'asc' | 'desc'
}

/** Numbers of entries, in order, and what of the range was not looked at; undefined where nothing is left of it. */
export type Found = { readonly numbers: readonly number[]; readonly rest: NumberRange | undefined }

const segmentEntries = 131_072
/**
 * Of one statement: each takes 0.2 ms to be planned, and eight of the locks of which all statements of a database have
 * some 6,400.
 */
const segmentsMax = 32

/**
 * Finds up to `limit` entries of a range, segment by segment from where the order begins: first one, then two, then
 * four, up to 32, so that what is near is found at once and what is nowhere takes few statements. Ends early where something was
 * found and `performance.now()` is past `untilMs`.
 */
export async function searchRange(
  query: Query,
  schema: Schema,
  search: Search,
  range: NumberRange,
  limit: number,
  untilMs: number,
): Promise<Found> {
  const numbers: number[] = []
  let rest = await narrow(query, schema, search, range)
  for (let segments = 1; rest.above < rest.upTo; segments = Math.min(2 * segments, segmentsMax)) {
    if (numbers.length > 0 && performance.now() >= untilMs) return { numbers, rest }
    const span = search.order === 'asc' ? firstOf(rest, segments) : lastOf(rest, segments)
    const wanted = limit - numbers.length
    const found = await findNumbers(query, schema, search.conditions, span, search.order, wanted)
    numbers.push(...found)
    if (found.length === wanted) return { numbers, rest: restAfter(search.order, rest, numbers.at(-1)) }
    rest = search.order === 'asc' ? { ...rest, above: span.upTo } : { ...rest, upTo: span.above }
  }
  return { numbers, rest: undefined }
}

/** What is left of a range behind an entry; undefined where that is nothing. */
export function restAfter(
  order: Search['order'],
  range: NumberRange,
  last: number | undefined,
): NumberRange | undefined {
  if (last === undefined) return range
  const rest = order === 'asc' ? { ...range, above: last } : { ...range, upTo: last - 1 }
  return rest.above < rest.upTo ? rest : undefined
}

/** Whether an entry has what was searched for: the search tables are not what is believed. */
export function fits(search: Search, fields: LeafFields): boolean {
  if (search.fromTime !== undefined && fields.timestamp < search.fromTime) return false
  if (search.toTime !== undefined && fields.timestamp >= search.toTime) return false
  return search.conditions.every(({ column, kind, text }) => {
    const value = fields[memberOf[column]]
    return kind === 'equal' ? value === text : value.startsWith(text)
  })
}

const memberOf = {
  actor_id: 'actorId',
  action: 'action',
  resource: 'resource',
  client_ip: 'clientIp',
  writer: 'writer',
} as const satisfies Record<Condition['column'], keyof LeafFields>

async function narrow(
  query: Query,
  schema: Schema,
  { fromTime, toTime }: Search,
  range: NumberRange,
): Promise<NumberRange> {
  const above = fromTime === undefined ? range.above : (await findFirstFrom(query, schema, fromTime, range)) - 1
  const from = { ...range, above }
  return toTime === undefined ? from : { above, upTo: (await findFirstFrom(query, schema, toTime, from)) - 1 }
}

function firstOf({ above, upTo }: NumberRange, segments: number): NumberRange {
  const end = (Math.floor(above / segmentEntries) + segments) * segmentEntries
  return { above, upTo: Math.min(upTo, end) }
}

function lastOf({ above, upTo }: NumberRange, segments: number): NumberRange {
  const start = (Math.ceil(upTo / segmentEntries) - segments) * segmentEntries
  return { above: Math.max(above, start), upTo }
}
