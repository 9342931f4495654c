import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTokenSecret } from '../../src/auth/token.ts'
import { hashSecret } from '../../src/log/seal.ts'
import { openPool } from '../../src/store/session.ts'
import { openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  await api.post(submissionWith())
})
afterAll(() => api.close())

async function request(
  method: 'GET' | 'POST',
  headers: Record<string, string>,
  query = '',
): Promise<Awaited<ReturnType<typeof read>>> {
  if (method === 'GET') return read(api.app.request(`/v1/entries/1${query}`, { headers }))
  const body = JSON.stringify(submissionWith())
  return read(
    api.app.request(`/v1/entries${query}`, {
      method,
      body,
      headers: { 'content-type': 'application/json', ...headers },
    }),
  )
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

test.each([
  ['POST', 'writer', 201],
  ['POST', 'auditor', 403],
  ['POST', 'admin', 403],
  ['GET', 'auditor', 200],
  ['GET', 'writer', 403],
  ['GET', 'admin', 403],
] as const)('%s of entries as %s is %i', async (method, role, want) => {
  const { status, headers, json } = await request(method, bearer(api.tokens[role]))
  expect(status).toBe(want)
  if (want !== 403) return
  expect(json.code).toBe('forbidden')
  expect(headers.get('www-authenticate')).toContain('error="insufficient_scope"')
})

const malformed: [string, Record<string, string>][] = [
  ['none', {}],
  ['an empty one', { authorization: '' }],
  ['another scheme', { authorization: 'Basic YTpi' }],
  ['no token', { authorization: 'Bearer' }],
  ['two tokens', { authorization: 'Bearer a b' }],
  ['a token with other characters', { authorization: 'Bearer a"b' }],
  ['an unknown token', bearer(createTokenSecret())],
  ['an endless token', bearer('x'.repeat(10_000))],
]

test.each(malformed)('with %s as credentials it is 401 with a challenge', async (_, headers) => {
  for (const method of ['GET', 'POST'] as const) {
    const answer = await request(method, headers)
    expect({ status: answer.status, code: answer.json.code }).toEqual({ status: 401, code: 'unauthenticated' })
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm="dendrolog"/)
  }
})

test('another scheme is told apart from a token that does not hold', async () => {
  const { headers, json } = await request('POST', { authorization: 'Basic YTpi' })
  expect(json.detail).toContain('scheme Bearer')
  expect(headers.get('www-authenticate')).toBe('Bearer realm="dendrolog"')
  const unknown = await request('POST', bearer(createTokenSecret()))
  expect(unknown.headers.get('www-authenticate')).toContain('error="invalid_token"')
})

test.each(['access_token', 'token'])('a token in the URL as %s counts for nothing', async (name) => {
  expect((await request('POST', {}, `?${name}=${api.tokens.writer}`)).status).toBe(401)
})

test('the scheme is read in any case', async () => {
  expect((await request('POST', { authorization: `bearer ${api.tokens.writer}` })).status).toBe(201)
})

let lateTokens = 0

async function addToken(column: string, value: string): Promise<string> {
  const secret = createTokenSecret()
  await api.sql(
    `insert into security_state.tokens (token_hash, name, role, ${column}) values ($1, $2, 'writer', ${value})`,
    [hashSecret(api.test.keys.sealKey, secret), `late-${lateTokens++}`],
  )
  return secret
}

test('a token that expired or was revoked is 401, one that will expire is not', async () => {
  const hour = "clock_timestamp() + interval '1 hour'"
  expect((await request('POST', bearer(await addToken('expires_at', 'clock_timestamp()')))).status).toBe(401)
  expect((await request('POST', bearer(await addToken('revoked_at', 'clock_timestamp()')))).status).toBe(401)
  expect((await request('POST', bearer(await addToken('expires_at', hour)))).status).toBe(201)
})

test('where tokens cannot be looked up it is 503 with Retry-After, never 401', async () => {
  const away = openPool({ host: '127.0.0.1', port: 1, user: 'nobody' }, 1, 1_000)
  const other = await openTestApi({
    server: {
      authenticate: async () => {
        await away.query('select 1')
        return undefined
      },
    },
  })
  try {
    const { status, headers, json } = await other.post(submissionWith())
    expect({ status, code: json.code }).toEqual({ status: 503, code: 'unavailable' })
    expect(headers.get('retry-after')).toMatch(/^[1-9]$/)
    expect(other.unexpected).toHaveLength(1)
  } finally {
    await away.close()
    await other.close()
  }
})

const never = (): Promise<never> => new Promise(() => {})

test.each([
  ['tokens', { server: { authenticate: never } }, '/v1/entries/1'],
  ['entries', { entries: { readEntries: never } }, '/v1/entries/1'],
  ['sizes of payloads', { entries: { readPayloadSizes: never } }, '/v1/entries/1'],
  ['ids', { server: { findSequenceNumber: never } }, '/v1/entries/01890a5d-ac96-774b-bcce-b302099a8057/proof'],
] as const)('a database that does not answer for %s is 503 at the deadline', async (what, options, path) => {
  const silent = await openTestApi({ answerMs: 500, ...options })
  try {
    if (what !== 'tokens') await silent.post(submissionWith())
    else expect((await silent.post(submissionWith())).json.code).toBe('unavailable')
    const { status, json } = await silent.get(path, 'auditor')
    expect({ status, code: json.code }).toEqual({ status: 503, code: 'unavailable' })
  } finally {
    await silent.close()
  }
})

test('what is public needs no token', async () => {
  for (const path of [
    '/v1/log',
    '/checkpoint',
    '/healthz',
    '/readyz',
    '/v1/entries/1/proof',
    '/v1/proofs/inclusion?index=0&size=1',
  ]) {
    expect([path, (await api.get(path)).status]).toEqual([path, 200])
  }
})

test('the writer of an entry is the name of the token', async () => {
  const { json } = await request('POST', bearer(api.tokens.writer))
  expect((json.entry as Record<string, unknown>).writer).toBe('token:writer')
})
