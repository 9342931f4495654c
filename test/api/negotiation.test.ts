import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Refusal } from '../../api/tellers.ts'
import { openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'

// Which media type an answer has, and the id of its request.

const refusals: Refusal[] = []
let api: TestApi
beforeAll(async () => {
  api = await openTestApi({ server: { onRefused: (refusal) => refusals.push(refusal) } })
  await api.post(submissionWith(), {}, '?wait=published')
})
afterAll(() => api.close())

const accepted: readonly (readonly [string | undefined, number, string])[] = [
  [undefined, 200, 'application/json'],
  ['', 200, 'application/json'],
  ['*/*', 200, 'application/json'],
  ['application/*', 200, 'application/json'],
  ['application/json; charset=utf-8', 200, 'application/json'],
  ['APPLICATION/CBOR', 200, 'application/cbor'],
  ['text/html, application/cbor;q=0.9, */*;q=0.8', 200, 'application/cbor'],
  ['application/cbor;q=0.5, application/json;q=0.5', 200, 'application/json'],
  ['application/json;q=0, */*', 200, 'application/cbor'],
  ['application/xml', 406, 'application/problem+json'],
  ['application/json;q=0', 406, 'application/problem+json'],
  ['*/*;q=0', 406, 'application/problem+json'],
  ['text/*', 406, 'application/problem+json'],
]

test.each(accepted)('Accept: %s of the log is %i in %s', async (accept, want, type) => {
  const answer = await read(api.app.request('/v1/log', accept === undefined ? {} : { headers: { accept } }))
  expect({ status: answer.status, type: answer.headers.get('content-type') }).toEqual({ status: want, type })
  if (want === 406) expect(answer.json.detail).toContain('application/json or application/cbor')
})

test('what a client would not take is 406 before anything is logged', async () => {
  const before = api.log.health.integratedSize
  expect((await api.post(submissionWith(), { accept: 'text/html' })).json).toMatchObject({ code: 'not-acceptable' })
  expect(api.log.health.integratedSize).toBe(before)
})

test.each([
  ['/checkpoint', 'text/plain', 200],
  ['/checkpoint', 'application/json', 406],
  ['/metrics', 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3', 401],
  ['/v1/checkpoints/stream', 'application/json', 406],
  ['/tile/0/000.p/1', 'application/octet-stream', 200],
  ['/ct/v1/get-sth', 'application/cbor', 406],
])('GET %s with Accept: %s is %i', async (path, accept, want) => {
  expect((await api.app.request(path, { headers: { accept } })).status).toBe(want)
})

test('a request id that the client sent comes back with every answer, one that is none with no good one', async () => {
  const idOf = async (path: string, sent: string): Promise<string | null> =>
    (await api.app.request(path, { headers: { 'x-request-id': sent } })).headers.get('x-request-id')
  for (const path of ['/v1/log', '/checkpoint', '/tile/0/000.p/1', '/nowhere', '/v1/entries/1']) {
    expect(await idOf(path, 'abc-1.2:3')).toBe('abc-1.2:3')
  }
  expect(await idOf('/v1/log', 'a b')).toBeNull()
  expect((await api.post(submissionWith(), { 'x-request-id': 'sent' })).headers.get('x-request-id')).toBe('sent')
})

test('a refusal is told with its id and the pattern of its path, and nothing else of the client', async () => {
  refusals.length = 0
  const headers = { 'x-request-id': 'find-me' }
  await api.app.request('/v1/entries/a-secret?token=a-secret', { headers })
  await api.app.request('/a-secret', { headers })
  expect(refusals).toEqual([
    { requestId: 'find-me', code: 'unauthenticated', status: 401, method: 'GET', route: '/v1/entries/:n' },
    { requestId: 'find-me', code: 'not-found', status: 404, method: 'GET', route: '' },
  ])
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
