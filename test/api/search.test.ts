import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'

const entries = 600
const actors = ['alice', 'bob', 'Zoë', 'a%b', 'a_b']
const knownId = newId()
let api: TestApi
/** What was submitted, by sequence number - 1. */
const sent = Array.from({ length: entries }, (_, n) =>
  submissionWith({
    actorId: actors[n % actors.length],
    action: n % 100 === 7 ? 'document.delete' : 'document.read',
    resource: `bucket/${n % 3}/object ${n}`,
    clientIp: n % 2 === 0 ? '192.0.2.1' : '2001:db8::1',
    payload: { n },
    ...(n === 42 ? { id: knownId } : {}),
  }),
)
let middle: string

beforeAll(async () => {
  api = await openTestApi()
  await api.post(sent.slice(0, 300), {}, '?wait=published')
  await new Promise((resolve) => setTimeout(resolve, 5))
  middle = new Date().toISOString()
  await new Promise((resolve) => setTimeout(resolve, 5))
  await api.post(sent.slice(300), {}, '?wait=published')
  await searched(api, entries)
})
afterAll(() => api.close())

async function searched({ server }: TestApi, size: number): Promise<void> {
  await until(
    () => server.search.position() >= size,
    () => `searched up to ${server.search.position()}`,
  )
}

type EntryJson = { readonly sequenceNumber: number; readonly payload: { readonly n: number } }

function search(query: Record<string, string>): Promise<Answer> {
  return api.get(`/v1/entries?${new URLSearchParams(query)}`, 'auditor')
}

function numbersOf({ json }: Answer): number[] {
  return (json.entries as EntryJson[]).map(({ sequenceNumber }) => sequenceNumber)
}

/** All pages. */
async function searchAll(query: Record<string, string>): Promise<number[]> {
  const numbers: number[] = []
  for (let cursor: unknown; cursor !== null; ) {
    const answer = await search({ ...query, ...(cursor === undefined ? {} : { cursor: String(cursor) }) })
    expect(answer.status).toBe(200)
    numbers.push(...numbersOf(answer))
    cursor = answer.json.nextCursor
  }
  return numbers
}

function want(isWanted: (n: number) => boolean): number[] {
  return sent.flatMap((_, n) => (isWanted(n) ? [n + 1] : []))
}

describe('a search', () => {
  test.each([
    ['actorId', { actorId: 'bob' }, (n: number) => n % 5 === 1],
    ['actorId beyond ASCII', { actorId: 'Zoë' }, (n: number) => n % 5 === 2],
    ['action', { action: 'document.delete' }, (n: number) => n % 100 === 7],
    ['resource', { resource: 'bucket/0/object 3' }, (n: number) => n === 3],
    ['clientIp', { clientIp: '2001:db8::1' }, (n: number) => n % 2 === 1],
    ['writer', { writer: 'token:writer' }, () => true],
    ['two of them', { actorId: 'bob', action: 'document.delete' }, (n: number) => n % 5 === 1 && n % 100 === 7],
    ['a prefix of resource', { resourcePrefix: 'bucket/2/' }, (n: number) => n % 3 === 2],
    ['a prefix of action', { actionPrefix: 'document.d' }, (n: number) => n % 100 === 7],
    ['a prefix with %', { actorIdPrefix: 'a%' }, (n: number) => n % 5 === 3],
    ['a prefix with _', { actorIdPrefix: 'a_' }, (n: number) => n % 5 === 4],
    [
      'a prefix and a whole value',
      { actorIdPrefix: 'a', clientIp: '192.0.2.1' },
      (n: number) => [0, 3, 4].includes(n % 5) && n % 2 === 0,
    ],
    ['nothing that is there', { actorId: 'nobody' }, () => false],
    ['nothing at all', {}, () => true],
    ['the id', { id: knownId }, (n: number) => n === 42],
    ['the id in upper case', { id: knownId.toUpperCase() }, (n: number) => n === 42],
    ['the id of another actor', { id: knownId, actorId: 'bob' }, () => false],
    ['another id', { id: newId() }, () => false],
  ] as const)('by %s finds all that have it, the newest first, in pages', async (_, query, isWanted) => {
    const wanted = want(isWanted)
    expect(await searchAll({ ...query, limit: '70' })).toEqual([...wanted].reverse())
    expect(await searchAll({ ...query, limit: '70', order: 'asc' })).toEqual(wanted)
  })

  test('by time finds what was logged from it on, and before it', async () => {
    expect(await searchAll({ from: middle, order: 'asc' })).toEqual(want((n) => n >= 300))
    expect(await searchAll({ to: middle, order: 'asc' })).toEqual(want((n) => n < 300))
    expect(await searchAll({ from: '1970-01-01T00:00:00Z', to: '2200-01-01T00:00:00Z' })).toHaveLength(entries)
    expect(await searchAll({ from: '2200-01-01T00:00:00Z' })).toEqual([])
    expect(await searchAll({ from: middle, to: middle })).toEqual([])
    expect(await searchAll({ from: middle, actorId: 'bob', order: 'asc' })).toEqual(
      want((n) => n >= 300 && n % 5 === 1),
    )
  })

  test('gives whole entries, and says up to which one it searched', async () => {
    const { json } = await search({ resource: 'bucket/0/object 3' })
    const byNumber = await api.get('/v1/entries/4', 'auditor')
    expect(json).toEqual({ entries: [byNumber.json], nextCursor: null, searchedSize: entries, provenSize: 0 })
  })

  test('goes on from its cursor as if nothing had been added since', async () => {
    const own = await openTestApi()
    try {
      await own.post(sent.slice(0, 10), {}, '?wait=published')
      await searched(own, 10)
      const first = await own.get('/v1/entries?limit=4', 'auditor')
      await own.post(sent.slice(10, 20), {}, '?wait=published')
      await searched(own, 20)
      const second = await own.get(`/v1/entries?limit=4&cursor=${first.json.nextCursor}`, 'auditor')
      expect([...numbersOf(first), ...numbersOf(second)]).toEqual([10, 9, 8, 7, 6, 5, 4, 3])
    } finally {
      await own.close()
    }
  })

  test('gives fewer large entries a page, and the others on the next ones', async () => {
    const own = await openTestApi()
    try {
      const large = submissionWith({ payload: { text: 'y'.repeat(1_000_000) } })
      await own.post(Array(6).fill(large), {}, '?wait=published')
      await searched(own, 6)
      const first = await own.get('/v1/entries', 'auditor')
      expect(numbersOf(first)).toEqual([6, 5, 4, 3])
      const second = await own.get(`/v1/entries?cursor=${first.json.nextCursor}`, 'auditor')
      expect([numbersOf(second), second.json.nextCursor]).toEqual([[2, 1], null])
    } finally {
      await own.close()
    }
  })

  test('of search tables that say something else than the ledger gives nothing', async () => {
    const own = await openTestApi()
    try {
      await own.post(sent.slice(0, 10), {}, '?wait=published')
      await searched(own, 10)
      await own.sql("update security_state.search set actor_id = 'mallory' where sequence_number = 3")
      const answer = await own.get('/v1/entries?actorId=mallory', 'auditor')
      expect(answer).toMatchObject({ status: 503, json: { code: 'check-failed' } })
    } finally {
      await own.close()
    }
  })

  test('says up to which entry the search tables were proved; what is left out of them comes back by itself', async () => {
    const own = await openTestApi({ proofTiming: { restMinMs: 5, restFactor: 0, roundMinMs: 0 } })
    const untilProved = (size: number): Promise<void> =>
      until(
        async () => (await own.get('/v1/entries', 'auditor')).json.provenSize === size,
        () => `proved up to ${own.server.search.provenSize()}`,
      )
    try {
      await own.post(sent.slice(0, 10), {}, '?wait=published')
      await untilProved(10)
      await own.sql('delete from security_state.search where sequence_number = 3')
      await until(
        async () => numbersOf(await own.get('/v1/entries', 'auditor')).length === 10,
        () => 'entry 3',
      )
      expect(own.searchDefects).toEqual([{ sequenceNumber: 3, kind: 'missing', columns: [] }])
      await untilProved(10)
    } finally {
      await own.close()
    }
  })

  test.each([
    [{ actor: 'bob' }, 'actor'],
    [{ actorId: '' }, 'actorId'],
    [{ actorId: 'a\0' }, 'actorId'],
    [{ limit: '0' }, 'limit'],
    [{ limit: '1001' }, 'limit'],
    [{ limit: '1e1' }, 'limit'],
    [{ order: 'up' }, 'order'],
    [{ from: 'yesterday' }, 'from'],
    [{ to: '2026-02-30T00:00:00Z' }, 'to'],
    [{ id: '42' }, 'id'],
    [{ cursor: '7' }, 'cursor'],
    [{ cursor: 'asc.7' }, 'cursor'],
    [{ cursor: 'desc.-7' }, 'cursor'],
    [{ cursor: 'desc.7.8' }, 'cursor'],
    [{ cursor: 'desc.99999999999999999999' }, 'cursor'],
  ])('by %j is 400 and names the parameter', async (query, parameter) => {
    const { status, json } = await search(query as unknown as Record<string, string>)
    expect(status).toBe(400)
    expect(json).toMatchObject({ code: 'malformed-parameter', parameter })
  })

  test('with the cursor of another order says what to send', async () => {
    const { json } = await search({ cursor: 'asc.7' })
    expect(json.detail).toContain('want the nextCursor of a page that was asked for with order=desc')
  })

  test('given a parameter twice is 400', async () => {
    const { status, json } = await api.get('/v1/entries?actorId=a&actorId=b', 'auditor')
    expect([status, json.parameter]).toEqual([400, 'actorId'])
  })

  test('is for auditors', async () => {
    expect((await api.get('/v1/entries')).status).toBe(401)
    expect((await api.get('/v1/entries', 'writer')).status).toBe(403)
  })
})

test('nothing of this was unexpected but the search tables that were changed', () => {
  expect(api.unexpected).toEqual([])
})
