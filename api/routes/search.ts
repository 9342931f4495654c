import type { Context, Hono } from 'hono'
import { entryJson } from '../../src/log/entry-json.ts'
import { countThatFits, payloadsBytesMax, readEntriesByNumber } from '../../src/log/published-entries.ts'
import { fits, restAfter, type Search } from '../../src/search/search.ts'
import type { Condition, NumberRange } from '../../src/store/search.ts'
import { TlogError } from '../../tlog/errors.ts'
import { parseOccurredAt } from '../../tlog/time.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { answerRead, publishedLog, readFactor, requireReader } from '../answer-read.ts'
import type { BudgetShare } from '../byte-budget.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { checkQuery, malformed, readDecimal, readQuery } from '../parameters.ts'
import type { Env, Server } from '../server.ts'

const limitDefault = 100
const limitMax = 1_000
/** After so long a page is given with what was found up to then. */
const searchMs = 2_000

/** Query parameters, and what they are compared with. */
const conditions: Readonly<Record<string, Omit<Condition, 'text'>>> = {
  actorId: { column: 'actor_id', kind: 'equal' },
  action: { column: 'action', kind: 'equal' },
  resource: { column: 'resource', kind: 'equal' },
  clientIp: { column: 'client_ip', kind: 'equal' },
  writer: { column: 'writer', kind: 'equal' },
  actorIdPrefix: { column: 'actor_id', kind: 'prefix' },
  actionPrefix: { column: 'action', kind: 'prefix' },
  resourcePrefix: { column: 'resource', kind: 'prefix' },
}
const parameters = [...Object.keys(conditions), 'id', 'from', 'to', 'order', 'limit', 'cursor']

/** What a page is asked for. */
type Page = { readonly search: Search; readonly id: string | undefined; readonly limit: number }

/**
 * `GET /v1/entries`: entries by what they say, in pages. What is found is compared with ledger and tree before it is
 * given; up to which entry was searched stands in `searchedSize`.
 */
export function routeSearch(app: Hono<Env>, server: Server): void {
  if (server.publicEntries) openToBrowsers(app, '/v1/entries')
  app.get('/v1/entries', async (c) => {
    const deadline = deadlineIn(server.times.answerMs)
    await requireReader(server, c, deadline)
    checkQuery(c, parameters)
    const page = readPage(c)
    const searchedSize = Math.min(server.search.position(), server.log.published.treeSize)
    const range = readCursor(c, page.search.order, searchedSize)
    return answerRead(server, c, deadline, 'no-store', (share) =>
      readEntriesOf(server, page, range, searchedSize, share),
    )
  })
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
    searchedSize,
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
  searchedSize: number,
): Uint8Array<ArrayBuffer> {
  const parts = entries.flatMap((json, i) => (i === 0 ? [json] : [comma, json]))
  const end = Buffer.from(`],"nextCursor":${JSON.stringify(nextCursor)},"searchedSize":${searchedSize}}`)
  return Buffer.concat([Buffer.from('{"entries":['), ...parts, end])
}

const comma = Buffer.from(',')

function readPage(c: Context<Env>): Page {
  const id = readQuery(c, 'id')
  const [fromTime, toTime] = [readTime(c, 'from'), readTime(c, 'to')]
  if (fromTime !== undefined && toTime !== undefined && fromTime > toTime) throw malformed('from', 'is later than to')
  return {
    search: {
      conditions: Object.keys(conditions).flatMap((name) => readCondition(c, name)),
      fromTime,
      toTime,
      order: readOrder(c),
    },
    id: id === undefined ? undefined : readId(id),
    limit: readLimit(c),
  }
}

function readCondition(c: Context<Env>, name: string): Condition[] {
  const text = readQuery(c, name)
  const condition = conditions[name]
  if (text === undefined || condition === undefined) return []
  if (text === '') throw malformed(name, 'is empty')
  // PostgreSQL has no text with it, and so has no entry.
  if (text.includes('\0')) throw malformed(name, 'U+0000 stands in no entry')
  return [{ ...condition, text }]
}

function readTime(c: Context<Env>, name: string): number | undefined {
  const text = readQuery(c, name)
  if (text === undefined) return undefined
  try {
    return parseOccurredAt(text)
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed(name, error.message)
  }
}

function readOrder(c: Context<Env>): Search['order'] {
  const order = readQuery(c, 'order') ?? 'desc'
  if (order === 'asc' || order === 'desc') return order
  throw malformed('order', 'want asc or desc')
}

function readLimit(c: Context<Env>): number {
  const text = readQuery(c, 'limit')
  const limit = text === undefined ? limitDefault : readDecimal(text, 'limit')
  if (limit < 1 || limit > limitMax) throw malformed('limit', `want 1 to ${limitMax}`)
  return limit
}

function readId(text: string): string {
  try {
    return formatUuid(parseUuid(text))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed('id', 'want a UUID')
  }
}

/** `desc.41`: entries up to 41 are left; `asc.41`: those above it. */
function formatCursor(order: Search['order'], { above, upTo }: NumberRange): string {
  return order === 'asc' ? `asc.${above}` : `desc.${upTo}`
}

function readCursor(c: Context<Env>, order: Search['order'], searchedSize: number): NumberRange {
  const text = readQuery(c, 'cursor')
  if (text === undefined) return { above: 0, upTo: searchedSize }
  const [cursorOrder, place, ...more] = text.split('.')
  if (cursorOrder !== order || more.length > 0) throw malformed('cursor', `want one of a page in order ${order}`)
  const n = readDecimal(place, 'cursor')
  return order === 'asc' ? { above: n, upTo: searchedSize } : { above: 0, upTo: Math.min(n, searchedSize) }
}
