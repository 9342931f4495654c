import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTokenSecret } from '../../src/auth/token.ts'
import { type Answer, openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

const hour = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString()

/** As the administrator, or with another secret. */
function call(method: string, path: string, body?: unknown, secret = api.tokens.admin): Promise<Answer> {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return read(api.app.request(path, { method, headers, ...(body === undefined ? {} : { body: text }) }))
}

type Made = { readonly id: string; readonly secret: string; readonly token: Readonly<Record<string, unknown>> }

async function make(members: Record<string, unknown>): Promise<Made> {
  const { status, json } = await call('POST', '/v1/tokens', members)
  expect([status, json.detail]).toEqual([201, undefined])
  const token = json.token as Record<string, unknown>
  return { id: String(token.id), secret: String(json.secret), token }
}

async function readActs(resource: string): Promise<readonly Record<string, unknown>[]> {
  return api.sql('select action, actor, detail from security_state.acts where resource = $1 order by id', [resource])
}

test('a token is made with its secret, which is shown once and works', async () => {
  const { status, headers, json } = await call('POST', '/v1/tokens', { name: 'collector', role: 'writer' })
  const token = json.token as Record<string, unknown>
  expect(status).toBe(201)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('location')).toBe(`/v1/tokens/${token.id}`)
  expect(token).toMatchObject({
    ...{ name: 'collector', identity: 'token:collector', role: 'writer', scopes: null, state: 'live' },
    ...{ createdBy: 'token:admin', expiresAt: null, revokedAt: null, lastUsedAt: null },
    ...{ requestsPerSecond: null, entriesPerSecond: null },
  })
  const posted = await call('POST', '/v1/entries', submissionWith(), String(json.secret))
  expect((posted.json.entry as Record<string, unknown>).writer).toBe('token:collector')
  const again = await call('GET', `/v1/tokens/${token.id}`)
  expect(again.json).toEqual({ ...token, lastUsedAt: again.json.lastUsedAt })
})

test('neither lists nor acts nor the database have a secret or its hash', async () => {
  const { secret } = await make({ name: 'hidden', role: 'auditor' })
  const list = await call('GET', '/v1/tokens')
  const acts = await api.sql('select * from security_state.acts')
  const rows = await api.sql('select * from security_state.tokens')
  expect(JSON.stringify([list.text, acts, rows])).not.toContain(secret.slice(10))
  expect(list.text).not.toMatch(/hash|secret/i)
  const [{ hex } = { hex: '' }] = await api.sql(
    `select encode(token_hash, 'hex') as hex from security_state.tokens where name = 'hidden'`,
  )
  expect(JSON.stringify([list.text, acts])).not.toContain(hex)
})

test('tokens are listed in pages, oldest first, each once', async () => {
  for (let i = 0; i < 4; i++) await make({ name: `paged-${i}`, role: 'auditor' })
  const names: unknown[] = []
  for (let cursor: unknown; cursor !== null; ) {
    const { json } = await call('GET', `/v1/tokens?limit=3${cursor === undefined ? '' : `&cursor=${cursor}`}`)
    names.push(...(json.tokens as { name: string }[]).map(({ name }) => name))
    cursor = json.nextCursor
  }
  expect(new Set(names).size).toBe(names.length)
  expect(names.slice(0, 3).sort()).toEqual(['admin', 'auditor', 'writer'])
  expect(names.slice(-4)).toEqual(['paged-0', 'paged-1', 'paged-2', 'paged-3'])
})

test('a revoked token is refused at once on this server, and revoking it again changes and tells nothing', async () => {
  const { id, secret } = await make({ name: 'gone', role: 'writer' })
  expect((await call('POST', '/v1/entries', submissionWith(), secret)).status).toBe(201)
  const first = await call('POST', `/v1/tokens/${id}/revoke`)
  expect(first.json).toMatchObject({ state: 'revoked', revokedAt: expect.any(String) })
  expect((await call('POST', '/v1/entries', submissionWith(), secret)).status).toBe(401)
  expect((await call('POST', `/v1/tokens/${id}/revoke`)).json).toEqual(first.json)
  expect(await readActs('token:gone')).toMatchObject([
    { action: 'dendrolog.token.made', actor: 'token:admin', detail: { tokenId: id, role: 'writer' } },
    { action: 'dendrolog.token.revoked', actor: 'token:admin', detail: { tokenId: id } },
  ])
})

test('an expiry can be set and moved while the token holds, and is told each time', async () => {
  const { id, token } = await make({ name: 'guest', role: 'auditor', expiresAt: hour(1) })
  expect(token.expiresAt).toMatch(/Z$/)
  const later = await call('POST', `/v1/tokens/${id}/expire`, { expiresAt: hour(2) })
  expect(later.status).toBe(200)
  expect((await call('POST', `/v1/tokens/${id}/expire`, { expiresAt: later.json.expiresAt })).json).toEqual(later.json)
  const acts = await readActs('token:guest')
  expect(acts.map(({ action }) => action)).toEqual(['dendrolog.token.made', 'dendrolog.token.expiry-set'])
  expect(acts[1]?.detail).toMatchObject({ expiresAt: later.json.expiresAt, before: token.expiresAt })
})

test('a token that is revoked or has expired stays so', async () => {
  const { id } = await make({ name: 'ended', role: 'auditor', expiresAt: hour(1) })
  await api.sql('update security_state.tokens set expires_at = clock_timestamp() where id = $1', [id])
  expect((await call('GET', `/v1/tokens/${id}`)).json.state).toBe('expired')
  const expired = await call('POST', `/v1/tokens/${id}/expire`, { expiresAt: hour(1) })
  expect([expired.status, expired.json.code]).toEqual([409, 'token-ended'])
  expect((await call('POST', `/v1/tokens/${id}/revoke`)).json.state).toBe('revoked')
  const revoked = await call('POST', `/v1/tokens/${id}/expire`, { expiresAt: hour(1) })
  expect([revoked.status, revoked.json.code]).toEqual([409, 'token-ended'])
})

test.each([
  ['auditor', 201],
  ['writer', 409],
] as const)('the name of a revoked %s is given again with status %i', async (role, status) => {
  const name = `again-${role}`
  const { id } = await make({ name, role })
  const taken = await call('POST', '/v1/tokens', { name: name.toUpperCase(), role: 'admin' })
  expect([taken.status, taken.json.code]).toEqual([409, 'name-taken'])
  await call('POST', `/v1/tokens/${id}/revoke`)
  expect((await call('POST', '/v1/tokens', { name, role: 'auditor' })).status).toBe(status)
})

const malformed: [unknown, string][] = [
  [{ role: 'writer' }, '/name'],
  [{ name: '', role: 'writer' }, '/name'],
  [{ name: 'a b', role: 'writer' }, '/name'],
  [{ name: '-a', role: 'writer' }, '/name'],
  [{ name: 'ä', role: 'writer' }, '/name'],
  [{ name: 'a'.repeat(101), role: 'writer' }, '/name'],
  [{ name: 'a\n', role: 'writer' }, '/name'],
  [{ name: 'x' }, '/role'],
  [{ name: 'x', role: 'root' }, '/role'],
  [{ name: 'x', role: 'writer', scopes: [] }, '/scopes'],
  [{ name: 'x', role: 'writer', scopes: null }, '/scopes'],
  [{ name: 'x', role: 'writer', scopes: ['entries:submit', 'entries:read'] }, '/scopes/1'],
  [{ name: 'x', role: 'writer', scopes: ['bytes:add', 'bytes:add'] }, '/scopes/1'],
  [{ name: 'x', role: 'writer', expiresAt: '2001-01-01T00:00:00Z' }, '/expiresAt'],
  [{ name: 'x', role: 'writer', expiresAt: 'tomorrow' }, '/expiresAt'],
  [{ name: 'x', role: 'writer', expiresAt: null }, '/expiresAt'],
  [{ name: 'x', role: 'writer', requestsPerSecond: -1 }, '/requestsPerSecond'],
  [{ name: 'x', role: 'writer', entriesPerSecond: 1.5 }, '/entriesPerSecond'],
  [{ name: 'x', role: 'writer', secret: 'mine' }, '/secret'],
  [{ name: 'x', role: 'writer', 'a/b': 1 }, '/a~1b'],
  [[], ''],
]

test.each(malformed)('%j is 400 and points at %j', async (body, pointer) => {
  const { status, json } = await call('POST', '/v1/tokens', body)
  expect([status, json.code, json.pointer]).toEqual([400, 'malformed-body', pointer])
})

test('a body that is not strict JSON, or too large, or something else is refused', async () => {
  const codes = []
  for (const body of ['{"name":"x","name":"y","role":"writer"}', '{', `"${'x'.repeat(20_000)}"`]) {
    codes.push((await call('POST', '/v1/tokens', body)).json.code)
  }
  expect(codes).toEqual(['json-not-strict', 'malformed-json', 'body-too-large'])
  const headers = { authorization: `Bearer ${api.tokens.admin}`, 'content-type': 'text/plain' }
  expect((await read(api.app.request('/v1/tokens', { method: 'POST', headers, body: '{}' }))).status).toBe(415)
})

test('ids and queries are read strictly', async () => {
  const unknown = '01890a5d-ac96-774b-bcce-b302099a8057'
  expect((await call('GET', `/v1/tokens/${unknown}`)).json.code).toBe('no-such-token')
  expect((await call('POST', `/v1/tokens/${unknown}/revoke`)).status).toBe(404)
  expect((await call('GET', '/v1/tokens/x')).json.parameter).toBe('id')
  expect((await call('GET', '/v1/tokens?limit=0')).json.parameter).toBe('limit')
  expect((await call('GET', '/v1/tokens?cursor=x')).json.parameter).toBe('cursor')
  expect((await call('GET', '/v1/tokens?role=writer')).json.parameter).toBe('role')
  expect((await call('POST', `/v1/tokens/${unknown}/revoke?now=1`)).json.parameter).toBe('now')
})

test('tokens are for administrators', async () => {
  for (const role of ['writer', 'auditor'] as const) {
    for (const path of ['/v1/tokens', `/v1/tokens/${createTokenSecret()}`]) {
      expect((await call('GET', path, undefined, api.tokens[role])).status).toBe(403)
      expect(
        (await call('POST', path.replace('/v1/tokens/', '/v1/tokens/x/revoke'), {}, api.tokens[role])).status,
      ).toBe(path === '/v1/tokens' ? 403 : 404)
    }
  }
  expect((await read(api.app.request('/v1/tokens'))).status).toBe(401)
})

test('a narrowed token does what it has scopes for, and is told which one it lacks', async () => {
  const { secret: submits } = await make({ name: 'submits', role: 'writer', scopes: ['entries:submit'] })
  expect((await call('POST', '/v1/entries', submissionWith(), submits)).status).toBe(201)
  const added = await call('POST', '/add', 'bytes', submits)
  expect([added.status, added.json.code]).toEqual([403, 'forbidden'])
  expect(added.json.detail).toContain('bytes:add')
  expect(added.headers.get('www-authenticate')).toContain('error="insufficient_scope"')
  const { secret: reads } = await make({ name: 'reads', role: 'auditor', scopes: ['entries:read'] })
  expect((await call('GET', '/v1/entries/1', undefined, reads)).status).toBe(200)
  expect((await call('GET', '/v1/entries', undefined, reads)).json.detail).toContain('entries:search')
  expect((await call('GET', '/v1/entries/stream', undefined, reads)).json.detail).toContain('entries:stream')
  const { secret: measures } = await make({ name: 'measures', role: 'admin', scopes: ['metrics:read'] })
  expect((await call('GET', '/metrics', undefined, measures)).status).toBe(200)
  expect((await call('GET', '/v1/tokens', undefined, measures)).json.detail).toContain('tokens:read')
  expect((await call('POST', '/v1/tokens', {}, measures)).json.detail).toContain('tokens:manage')
})

test('the last administrator who lasts cannot be revoked or let expire', async () => {
  const { json } = await call('GET', '/v1/tokens')
  const { id: first } = (json.tokens as { id: string; name: string }[]).find(({ name }) => name === 'admin') ?? {
    id: '',
  }
  // Neither of these lasts as an administrator who may manage tokens.
  await make({ name: 'short', role: 'admin', expiresAt: hour(1) })
  await make({ name: 'narrow', role: 'admin', scopes: ['tokens:read'] })
  for (const answer of [
    await call('POST', `/v1/tokens/${first}/revoke`),
    await call('POST', `/v1/tokens/${first}/expire`, { expiresAt: hour(1) }),
  ]) {
    expect([answer.status, answer.json.code]).toEqual([409, 'last-admin'])
    expect(answer.json.detail).toContain('make another')
  }
})

test('what cannot be told is not done: with a full outbox a token is neither made nor revoked', async () => {
  const { id, secret } = await make({ name: 'untold', role: 'auditor' })
  await api.sql(
    `insert into security_state.acts (id, action, resource, actor, occurred_at, detail, signature)
     select gen_random_uuid(), 'dendrolog.test', 'filler', 't', now(), '{}', 's' from generate_series(1, 10000)`,
  )
  try {
    const made = await call('POST', '/v1/tokens', { name: 'not-made', role: 'auditor' })
    expect([made.status, made.json.code, made.headers.has('retry-after')]).toEqual([503, 'unavailable', true])
    expect((await call('POST', `/v1/tokens/${id}/revoke`)).status).toBe(503)
    expect(await api.sql(`select from security_state.tokens where name = 'not-made'`)).toEqual([])
    expect((await call('GET', '/v1/entries/1', undefined, secret)).status).toBe(200)
  } finally {
    await api.sql(`delete from security_state.acts where resource = 'filler'`)
  }
  expect((api.unexpected as unknown[]).splice(0)).toHaveLength(2)
})

test('of the last two administrators who last, revoked at once, one stays', async () => {
  const { json } = await call('GET', '/v1/tokens')
  const first = (json.tokens as { id: string; name: string }[]).find(({ name }) => name === 'admin')?.id ?? ''
  const { id: second } = await make({ name: 'second', role: 'admin' })
  const both = await Promise.all(
    [first, second].map((id) => api.server.tokens.revoke(id, 'token:t').catch((e) => e.code)),
  )
  expect(both.filter((one) => one === 'last-admin')).toHaveLength(1)
  const left = await api.sql(
    `select from security_state.tokens
     where role = 'admin' and revoked_at is null and expires_at is null and scopes is null`,
  )
  expect(left).toHaveLength(1)
})

test('more than 10,000 tokens that hold are refused', async () => {
  await api.sql(
    `insert into security_state.tokens (token_hash, name, role)
     select sha256(int4send(n)), 'many-' || n, 'auditor' from generate_series(1, 10000) as n`,
  )
  const wanted = { scopes: null, expiresAt: null, requestsPerSecond: null, entriesPerSecond: null }
  const making = api.server.tokens.make({ name: 'one-more', role: 'writer', ...wanted }, 'token:t')
  await expect(making).rejects.toMatchObject({ code: 'too-many-tokens' })
  expect(await readActs('token:one-more')).toEqual([])
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
