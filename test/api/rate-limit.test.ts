import { afterAll, beforeAll, expect, test } from 'vitest'
import { RateLimiter } from '../../api/rate-limit.ts'
import type { Principal } from '../../src/auth/principal.ts'
import { type Answer, openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi({
    tokens: { rates: { requestsPerSecond: 3, entriesPerSecond: 0 } },
    server: { rateLimiter: withClock().limiter },
  })
})
afterAll(() => api.close())

function holder(requestsPerSecond: number, entriesPerSecond: number, tokenId = 'a'): Principal {
  return { role: 'writer', identity: 'token:a', rates: { tokenId, requestsPerSecond, entriesPerSecond } }
}

/** A limiter with a clock that stands, and what moves it by seconds. */
function withClock(): { readonly limiter: RateLimiter; readonly pass: (seconds: number) => void } {
  let nowMs = 1_000_000
  const pass = (seconds: number): void => {
    nowMs += 1_000 * seconds
  }
  return { limiter: new RateLimiter(() => nowMs), pass }
}

const refused = (count: () => void): boolean => {
  try {
    count()
    return false
  } catch (error) {
    expect(error).toMatchObject({ code: 'rate-limited' })
    return true
  }
}

test('a second has as many requests as the rate says, whenever in it they come', () => {
  const { limiter, pass } = withClock()
  const ask = (): boolean => refused(() => limiter.countRequest(holder(4, 0)))
  expect([ask(), ask(), ask(), ask(), ask()]).toEqual([false, false, false, false, true])
  pass(0.25)
  expect([ask(), ask()]).toEqual([false, true])
  pass(3_600)
  expect([ask(), ask(), ask(), ask(), ask()]).toEqual([false, false, false, false, true])
})

test('a batch above the rate goes in, and its debt is waited for', () => {
  const { limiter, pass } = withClock()
  const submit = (count: number): boolean => refused(() => limiter.countRecords(holder(0, 10), count))
  expect(submit(50)).toBe(false)
  expect(submit(0)).toBe(true)
  pass(4)
  expect(submit(1)).toBe(true)
  pass(0.2)
  expect(submit(1)).toBe(false)
})

test('each token has its own, and 0 is no limit', () => {
  const { limiter } = withClock()
  limiter.countRequest(holder(1, 0, 'a'))
  expect(refused(() => limiter.countRequest(holder(1, 0, 'a')))).toBe(true)
  expect(refused(() => limiter.countRequest(holder(1, 0, 'b')))).toBe(false)
  for (let i = 0; i < 1_000; i++) limiter.countRequest(holder(0, 0, 'c'))
  for (let i = 0; i < 1_000; i++) limiter.countRecords({ role: 'writer', identity: 'token:d' }, 1_000)
})

function post(secret: string, body: unknown): Promise<Answer> {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  return read(api.app.request('/v1/entries?wait=integrated', { method: 'POST', headers, body: JSON.stringify(body) }))
}

async function makeWriter(name: string, rates: Record<string, number>): Promise<string> {
  const wanted = { scopes: null, expiresAt: null, requestsPerSecond: null, entriesPerSecond: null, ...rates }
  return (await api.server.tokens.make({ name, role: 'writer', ...wanted }, 'token:t')).secret
}

test('the setting holds for tokens without a rate: 429 with Retry-After, and nothing is logged or kept', async () => {
  const secret = await makeWriter('plain', {})
  const statuses = []
  for (let i = 0; i < 3; i++) statuses.push((await post(secret, submissionWith())).status)
  expect(statuses).toEqual([201, 201, 201])
  const before = api.log.health.integratedSize
  const { status, headers, json } = await post(secret, { not: 'a record' })
  expect([status, json.code, json.title]).toEqual([429, 'rate-limited', 'Too Many Requests'])
  expect(headers.get('retry-after')).toMatch(/^[1-9][0-9]*$/)
  expect(api.log.health.integratedSize).toBe(before)
  expect(await api.sql('select from security.quarantine')).toEqual([])
})

test("a token's own rates stand instead of the setting, and records count as many as there are", async () => {
  const secret = await makeWriter('own', { requestsPerSecond: 0, entriesPerSecond: 2 })
  expect((await post(secret, [submissionWith(), submissionWith(), submissionWith()])).status).toBe(200)
  const { status, headers } = await post(secret, submissionWith())
  expect(status).toBe(429)
  expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  const unlimited = await makeWriter('unlimited', { requestsPerSecond: 0 })
  for (let i = 0; i < 10; i++) expect((await post(unlimited, submissionWith())).status).toBe(201)
})
