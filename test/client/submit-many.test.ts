import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Unavailable } from '../../src/client/errors.ts'
import { type LogEvent, withEventId } from '../../src/client/event.ts'
import { type LogClient, openLogClient } from '../../src/client/log-client.ts'
import { submit } from '../../src/client/submit.ts'
import { type BatchOptions, type Outcome, submitMany } from '../../src/client/submit-many.ts'
import { openTestApi, type TestApi } from '../support/api.ts'
import { type HostileServer, openHostileServer, type React, withJson } from './hostile-server.ts'

let api: TestApi
let url: string
const opened: HostileServer[] = []

beforeAll(async () => {
  api = await openTestApi({ limits: { recordsMax: 60 } })
  url = `http://127.0.0.1:${(await api.listen()).port}`
})
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close()
})
afterAll(() => api.close())

function clientOf(target: string): LogClient {
  const retry = { attemptsMax: 3, pauseMs: 1, pauseMsMax: 100 }
  return openLogClient({ url: target, vkey: api.test.keys.vkey, token: api.tokens.writer, retry })
}

async function hostile(react: React): Promise<HostileServer> {
  const server = await openHostileServer(url, react)
  opened.push(server)
  return server
}

function eventOf(n: number, members: Partial<LogEvent> = {}): LogEvent {
  return { actorId: `actor ${n}`, action: 'document.read', resource: 'doc/1', payload: { n }, ...members }
}

function eventsOf(count: number): LogEvent[] {
  return Array.from({ length: count }, (_, n) => eventOf(n))
}

async function outcomes(
  client: LogClient,
  events: Iterable<LogEvent> | AsyncIterable<LogEvent>,
  options?: BatchOptions,
): Promise<Outcome[]> {
  const all: Outcome[] = []
  for await (const outcome of submitMany(client, events, options)) all.push(outcome)
  return all
}

async function publishedSize(): Promise<number> {
  return (await api.sql('select max(tree_size)::int as n from security.tree_heads'))[0]?.n as number
}

test('many events are logged in their order, a batch at a time, whatever they come from', async () => {
  const { asked, url } = await hostile((_, forward) => forward())
  async function* slowly(): AsyncGenerator<LogEvent> {
    yield* eventsOf(95)
  }
  const first = (await publishedSize()) + 1
  const logged = await outcomes(clientOf(url), slowly(), { eventsMax: 40 })
  expect(logged.map(({ event }) => event.payload.n)).toEqual(Array.from({ length: 95 }, (_, n) => n))
  expect(logged.map((outcome) => outcome.kind === 'logged' && outcome.sequenceNumber)).toEqual(
    Array.from({ length: 95 }, (_, n) => first + n),
  )
  expect(asked.map(({ body }) => body.toString().trim().split('\n').length)).toEqual([40, 40, 15])
})

test('an event of a batch has its receipt when it is submitted alone, with its id', async () => {
  const [first] = await outcomes(clientOf(url), eventsOf(3))
  const { proved, isNew } = await submit(clientOf(url), first?.event as LogEvent)
  expect(isNew).toBe(false)
  expect(first).toMatchObject({ kind: 'logged', sequenceNumber: proved.fields.sequenceNumber, isNew: true })
})

test('those that are refused and those that were there are told from the others', async () => {
  const known = withEventId(eventOf(1))
  const before = await submit(clientOf(url), known)
  const answered = await outcomes(clientOf(url), [
    eventOf(0),
    eventOf(0, { action: 'dendrolog.x' }),
    known,
    { ...known, payload: { other: true } },
    eventOf(4),
  ])
  expect(answered.map(({ kind }) => kind)).toEqual(['logged', 'refused', 'logged', 'refused', 'logged'])
  const [first, reserved, again, conflict, last] = answered
  expect(reserved).toMatchObject({ code: 'malformed-submission', pointer: '/action' })
  expect(again).toMatchObject({ isNew: false, sequenceNumber: before.proved.fields.sequenceNumber })
  expect(conflict).toMatchObject({ code: 'idempotency-conflict', pointer: '/id' })
  const numbers = [first, last].map((outcome) => (outcome?.kind === 'logged' ? outcome.sequenceNumber : 0))
  expect(numbers[1]).toBe((numbers[0] as number) + 1)
})

test('a batch that was cut after the commit is logged once', async () => {
  let cuts = 1
  const { url: cutting } = await hostile(async (_, forward) => {
    const answer = await forward()
    return cuts-- > 0 ? 'cut' : answer
  })
  const before = await publishedSize()
  const logged = await outcomes(clientOf(cutting), eventsOf(20))
  expect(logged.every((outcome) => outcome.kind === 'logged' && !outcome.isNew)).toBe(true)
  expect(await publishedSize()).toBe(before + 20)
})

test('a batch that nobody answers is in the error, to be sent again', async () => {
  let answers = 1
  const { url: failing } = await hostile((_, forward) => (answers-- > 0 ? forward() : 'cut'))
  const all: Outcome[] = []
  const sending = (async () => {
    for await (const outcome of submitMany(clientOf(failing), eventsOf(25), { eventsMax: 10 })) all.push(outcome)
  })()
  const error = await sending.catch((error) => error)
  expect(error).toBeInstanceOf(Unavailable)
  expect(all).toHaveLength(10)
  expect(error.unsettled.map((event: LogEvent) => event.payload.n)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  expect(await outcomes(clientOf(url), error.unsettled)).toHaveLength(10)
})

test('a batch that is too large for the server is sent in halves', async () => {
  const { asked, url } = await hostile((_, forward) => forward())
  const logged = await outcomes(clientOf(url), eventsOf(150))
  expect(logged.every(({ kind }) => kind === 'logged')).toBe(true)
  expect(logged.map(({ event }) => event.payload.n)).toEqual(Array.from({ length: 150 }, (_, n) => n))
  // 150 and 75 are too many, four parts of at most 38 are not.
  expect(asked).toHaveLength(7)
})

test('one event that is too large is refused, the others are logged', async () => {
  const { url } = await hostile((asked, forward) =>
    asked.body.includes('huge') ? { status: 413, body: '{"code":"body-too-large","detail":"too much"}' } : forward(),
  )
  const answered = await outcomes(clientOf(url), [eventOf(0), eventOf(1, { resource: 'huge' }), eventOf(2)])
  expect(answered.map(({ kind }) => kind)).toEqual(['logged', 'refused', 'logged'])
  expect(answered[1]).toMatchObject({ code: 'body-too-large' })
})

test('requests hold no more bytes than they may', async () => {
  const { asked, url } = await hostile((_, forward) => forward())
  const events = Array.from({ length: 10 }, (_, n) =>
    eventOf(n, { payload: { text: 'x'.repeat(n === 5 ? 5_000 : 900) } }),
  )
  await outcomes(clientOf(url), events, { bytesMax: 2_500 })
  const sizes = asked.map(({ body }) => body.length)
  expect(sizes.filter((bytes) => bytes > 2_500)).toHaveLength(1)
  expect(asked).toHaveLength(6)
})

type Json = Readonly<Record<string, unknown>>

/** The answer to events that were accepted, as if those at `places` were not. */
function withRefused(json: Json, places: readonly number[], more: Json = {}): Json {
  const results = places.map((i) => ({ i, status: 'quarantined', code: 'x', detail: 'y', ...more }))
  const accepted = Number(json.accepted) - places.length
  const lastIndex = accepted === 0 ? null : Number(json.firstIndex) + accepted - 1
  const firstIndex = accepted === 0 ? null : json.firstIndex
  return { ...json, accepted, quarantined: places.length, firstIndex, lastIndex, results }
}

function withDuplicate(json: Json, sequenceNumber: number): Json {
  return { ...withRefused(json, [0], { status: 'duplicate', sequenceNumber }), quarantined: 0, duplicates: 1 }
}

test('what those answers are made of is believed', async () => {
  const { url } = await hostile(async (_, forward) => withJson(await forward(), (json) => withRefused(json, [1])))
  const answered = await outcomes(clientOf(url), eventsOf(3))
  expect(answered.map(({ kind }) => kind)).toEqual(['logged', 'refused', 'logged'])
  const { url: known } = await hostile(async (_, forward) =>
    withJson(await forward(), (json) => withDuplicate(json, 1)),
  )
  expect((await outcomes(clientOf(known), eventsOf(3)))[0]).toMatchObject({ isNew: false, sequenceNumber: 1 })
})

test.each<[string, (json: Record<string, unknown>) => unknown]>([
  ['an event too few', (json) => ({ ...json, accepted: 2, lastIndex: Number(json.lastIndex) - 1 })],
  ['an event too many', (json) => ({ ...json, accepted: 4, lastIndex: Number(json.lastIndex) + 1 })],
  ['the same event twice', (json) => withRefused(json, [0, 0])],
  ['a place that is none', (json) => withRefused(json, [3])],
  ['a place that is no integer', (json) => withRefused(json, [0.5])],
  ['a status that nobody knows', (json) => withRefused(json, [0], { status: 'lost' })],
  ['a refusal without its reason', (json) => withRefused(json, [0], { detail: undefined })],
  ['a refusal that is not counted', (json) => ({ ...withRefused(json, [0]), quarantined: 0 })],
  [
    'a refusal that is counted as a duplicate',
    (json) => ({ ...withRefused(json, [0]), quarantined: 0, duplicates: 1 }),
  ],
  ['a duplicate that is entry 0', (json) => withDuplicate(json, 0)],
  ['a duplicate that is entry 2^53', (json) => withDuplicate(json, 2 ** 53)],
  ['no index', (json) => ({ ...json, firstIndex: null })],
  ['no last index', (json) => ({ ...json, lastIndex: null })],
  ['an index below 0', (json) => ({ ...json, firstIndex: -1, lastIndex: 1 })],
  ['an index that is a text', (json) => ({ ...json, firstIndex: String(json.firstIndex) })],
  ['more indexes than entries', (json) => ({ ...json, lastIndex: Number(json.lastIndex) + 1 })],
  ['indexes beyond 2^53-2', (json) => ({ ...json, firstIndex: 2 ** 53 - 3, lastIndex: 2 ** 53 - 1 })],
  ['indexes of no entries', (json) => ({ ...withRefused(json, [0, 1, 2]), firstIndex: 5 })],
  ['nothing', () => null],
])('an answer with %s is not believed', async (_, change) => {
  const { url } = await hostile(async (_, forward) => withJson(await forward(), change))
  await expect(outcomes(clientOf(url), eventsOf(3))).rejects.toMatchObject({
    name: 'CouldNotCheck',
    code: 'not-understood',
  })
})
