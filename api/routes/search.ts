import type { Context, Hono } from 'hono'
import { entryJson } from '../../src/log/entry-json.ts'
import { countThatFits, payloadsBytesMax, readEntriesByNumber } from '../../src/log/published-entries.ts'
import { fits, restAfter, type Search } from '../../src/search/search.ts'
import type { Condition, NumberRange } from '../../src/store/search.ts'
import { TlogError } from '../../tlog/errors.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { answerRead, publishedLog, readersOf, readFactor, requireReader } from '../answer-read.ts'
import type { BudgetShare } from '../byte-budget.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, jsonOrCbor, type Operation } from '../operation.ts'
import {
  anyText,
  anyUuid,
  choice,
  decimal,
  instant,
  malformed,
  optional,
  readDecimal,
  readQuery,
  searchText,
  type ValuesOf,
  withDefault,
} from '../parameters.ts'
import { integer, listOf, named, object, orNull, text } from '../schema.ts'
import { entry } from '../schema-entry.ts'
import type { Server } from '../server.ts'

const limitDefault = 100
const limitMax = 1_000
/** After so long a page is given with what was found up to then. */
const searchMs = 2_000

/** Query parameters, and what they are compared with. */
const conditions = {
  actorId: { column: 'actor_id', kind: 'equal' },
  action: { column: 'action', kind: 'equal' },
  resource: { column: 'resource', kind: 'equal' },
  clientIp: { column: 'client_ip', kind: 'equal' },
  writer: { column: 'writer', kind: 'equal' },
  actorIdPrefix: { column: 'actor_id', kind: 'prefix' },
  actionPrefix: { column: 'action', kind: 'prefix' },
  resourcePrefix: { column: 'resource', kind: 'prefix' },
} as const satisfies Record<string, Omit<Condition, 'text'>>
const conditionNames = Object.keys(conditions) as (keyof typeof conditions)[]

const query = {
  actorId: optional(searchText, 'Exactly this one'),
  action: optional(searchText, 'Exactly this one'),
  resource: optional(searchText, 'Exactly this one'),
  clientIp: optional(searchText, 'Exactly this one, as it was sent'),
  writer: optional(searchText, 'Exactly this one'),
  actorIdPrefix: optional(searchText, 'What it begins with'),
  actionPrefix: optional(searchText, 'What it begins with'),
  resourcePrefix: optional(searchText, 'What it begins with'),
  from: optional(instant, "From this time of the log's own on"),
  to: optional(instant, 'Before this time'),
  order: withDefault(choice('asc', 'desc'), 'desc', 'Of sequence numbers'),
  id: optional(anyUuid, 'Exactly this one'),
  limit: withDefault(decimal(1, limitMax), limitDefault, 'Entries of a page; fewer where payloads are large'),
  cursor: optional(anyText, '`nextCursor` of the page before'),
}

/** What a page is asked for. */
type Page = { readonly search: Search; readonly id: string | undefined; readonly limit: number }

/**
 * `GET /v1/entries`: entries by what they say, in pages. What is found is compared with ledger and tree before it is
 * given; up to which entry was searched stands in `searchedSize`, up to which entry the search tables were themselves
 * compared with the tree in `provenSize`.
 */
export function routeSearch(app: Hono<Env>, server: Server): void {
  if (server.publicEntries) openToBrowsers(app, '/v1/entries')
  app.get(
    '/v1/entries',
    describe({ ...operation, who: readersOf(server, 'entries:search') }, (c) => answerSearch(server, c)),
  )
}

const operation: Omit<Operation, 'who'> = {
  id: 'searchEntries',
  summary: 'Entries that fit all that is given, in pages',
  query,
  answers: {
    200: {
      doc: '`searchedSize`: up to which entry was searched; `provenSize`: up to which one the search tables were compared with the tree. Send `nextCursor` until it is null',
      content: jsonOrCbor(
        named(
          'EntryPage',
          object({
            entries: listOf(entry, limitMax),
            nextCursor: orNull(text),
            searchedSize: integer(),
            provenSize: integer(),
          }),
        ),
      ),
    },
  },
  problems: ['entry-damaged'],
}

async function answerSearch(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline, 'entries:search')
  const values = readQuery(c, query)
  const page = pageOf(values)
  const searchedSize = Math.min(server.search.position(), server.log.published.treeSize)
  const range = rangeOf(values, searchedSize)
  return answerRead(server, c, deadline, 'no-store', (share) => readEntriesOf(server, page, range, searchedSize, share))
}

async function readEntriesOf(
  server: Server,
  page: Page,
  range: NumberRange,
  searchedSize: number,
  share: BudgetShare,
): Promise<Uint8Array<ArrayBuffer>> {
  const { search } = page
  const found = await findPage(server, page, range)
  const sizes = await server.entries.readPayloadSizesAt(found.numbers)
  const count = countThatFits(sizes, payloadsBytesMax)
  const numbers = found.numbers.slice(0, count)
  share.take(readFactor * sizes.slice(0, count).reduce((sum, size) => sum + size, 0))
  const read = await readEntriesByNumber(publishedLog(server, server.log.published), numbers)
  const stray = read.find(({ fields }) => !fits(search, fields))
  if (stray !== undefined) {
    const n = stray.fields.sequenceNumber
    throw new TlogError('leaf-mismatch', `entry ${n}: the search tables say something else of it than its leaf`)
  }
  const rest = count < found.numbers.length ? restAfter(search.order, range, numbers.at(-1)) : found.rest
  return pageJson(
    read.map(({ entry }) => entryJson(entry)),
    rest === undefined ? null : formatCursor(search.order, rest),
    { searchedSize, provenSize: Math.min(server.search.provenSize(), searchedSize) },
  )
}

async function findPage(
  server: Server,
  { search, id, limit }: Page,
  range: NumberRange,
): Promise<{ readonly numbers: readonly number[]; readonly rest: NumberRange | undefined }> {
  if (id === undefined) return server.search.find(search, range, limit, performance.now() + searchMs)
  const number = await server.findSequenceNumber(id)
  if (number === undefined || number <= range.above || number > range.upTo) return { numbers: [], rest: undefined }
  const [entry] = await server.entries.readColumns(number, number)
  const isFound = entry !== undefined && formatUuid(entry.fields.eventId) === id && fits(search, entry.fields)
  return { numbers: isFound ? [number] : [], rest: undefined }
}

function pageJson(
  entries: readonly Uint8Array[],
  nextCursor: string | null,
  sizes: { readonly searchedSize: number; readonly provenSize: number },
): Uint8Array<ArrayBuffer> {
  const parts = entries.flatMap((json, i) => (i === 0 ? [json] : [comma, json]))
  const end = Buffer.from(`],"nextCursor":${JSON.stringify(nextCursor)},${JSON.stringify(sizes).slice(1)}`)
  return Buffer.concat([Buffer.from('{"entries":['), ...parts, end])
}

const comma = Buffer.from(',')

function pageOf(values: ValuesOf<typeof query>): Page {
  const { from: fromTime, to: toTime, order, id, limit } = values
  if (fromTime !== undefined && toTime !== undefined && fromTime > toTime) throw malformed('from', 'is later than to')
  const given = conditionNames.flatMap((name) => {
    const text = values[name]
    return text === undefined ? [] : [{ ...conditions[name], text }]
  })
  return { search: { conditions: given, fromTime, toTime, order }, id, limit }
}

/** `desc.41`: entries up to 41 are left; `asc.41`: those above it. */
function formatCursor(order: Search['order'], { above, upTo }: NumberRange): string {
  return order === 'asc' ? `asc.${above}` : `desc.${upTo}`
}

function rangeOf({ cursor, order }: ValuesOf<typeof query>, searchedSize: number): NumberRange {
  if (cursor === undefined) return { above: 0, upTo: searchedSize }
  const [cursorOrder, place, ...more] = cursor.split('.')
  if (cursorOrder !== order || more.length > 0)
    throw malformed('cursor', `want the nextCursor of a page that was asked for with order=${order}, as it is`)
  const n = readDecimal(place, 'cursor')
  return order === 'asc' ? { above: n, upTo: searchedSize } : { above: 0, upTo: Math.min(n, searchedSize) }
}
