import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatBase64 } from '../../tlog/bytes.ts'
import { newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'
import { type CheckedAnswer, type Checker, openChecker } from '../support/openapi.ts'

// The document says what the server does: every route is in it, real answers fit its schemas, and its roles are those
// that are let in.

const knownId = newId()
let api: TestApi
let checker: Checker
let leafHash: string

beforeAll(async () => {
  api = await openTestApi({ witnesses: 1 })
  const records = Array.from({ length: 299 }, (_, n) => submissionWith({ payload: { n }, lamport: 2 ** 40 + n }))
  const occurredAt = '2024-01-01T00:00:00.5Z'
  await api.post([submissionWith({ id: knownId, occurredAt }), ...records], {}, '?wait=published')
  await until(
    () => api.server.search.position() >= 300,
    () => 'the search tables have all',
  )
  const [row] = await api.sql('select leaf_hash from security.audit_logs where sequence_number = 7')
  leafHash = encodeURIComponent(formatBase64(new Uint8Array(row?.leaf_hash as Buffer)))
  checker = await openChecker(api.app)
})
afterAll(() => api.close())

function send(path: string, body: unknown, headers: Record<string, string> = {}): Promise<CheckedAnswer> {
  const authorization = `Bearer ${api.tokens[/^\/v1\/(tokens|incidents)/.test(path) ? 'admin' : 'writer']}`
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return checker.request(path, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json', ...headers },
    body: text,
  })
}

function get(path: string, headers: Record<string, string> = {}): Promise<CheckedAnswer> {
  const role = /^\/(metrics|v1\/tokens)/.test(path) ? 'admin' : 'auditor'
  return checker.request(path, { headers: { authorization: `Bearer ${api.tokens[role]}`, ...headers } })
}

/** Of every route what it answers with when all is well. */
const good: readonly string[] = [
  '/openapi.json',
  '/docs',
  '/v1/log',
  '/checkpoint',
  '/v1/checkpoints/witnessed',
  '/.well-known/scitt-keys',
  '/healthz',
  '/readyz',
  '/metrics',
  '/v1/entries/1',
  `/v1/entries/${knownId}`,
  '/v1/entries/1/proof',
  '/v1/entries/1/evidence',
  '/v1/evidence?entries=1,7',
  `/v1/entries/${knownId}/proof`,
  '/v1/entries?limit=3&actorId=alice&order=asc&from=2024-01-01T00:00:00Z',
  '/v1/entries?resourcePrefix=nothing',
  '/v1/entries/stream?after=3',
  '/v1/proofs/inclusion?index=2&size=300',
  '/v1/proofs/consistency?from=3&to=300',
  '/v1/checkpoints?limit=2',
  '/v1/checkpoints/stream',
  '/tile/0/000',
  '/tile/0/001.p/44',
  '/tile/entries/000',
  '/ct/v1/get-sth',
  '/ct/v1/get-sth-consistency?first=3&second=300',
  '/ct/v1/get-entries?start=0&end=2',
  '/ct/v1/get-entry-and-proof?leaf_index=2&tree_size=300',
  '/ct/v1/get-roots',
  '/v1/incidents?state=open&violationType=PAYLOAD_CORRUPT&limit=2',
  '/v1/incidents/dead-letters',
  '/v1/verifier',
]

test('the document is OpenAPI 3.1 by its meta schema', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(JSON.parse(JSON.stringify(checker.document)))
  expect({ valid, errors, version: validator.version }).toEqual({ valid: true, errors: undefined, version: '3.1' })
})

test('every route is described, and every description is of a route', () => {
  const routes = new Set(
    api.app.routes.filter(({ method }) => method === 'GET' || method === 'POST').map((r) => `${r.method} ${r.path}`),
  )
  const described = checker.operations.map(({ method, path }) => {
    const route = path.replace(/^(\/tile(\/entries)?)\/.*/, '$1/*').replaceAll(/\{(\w+)\}/g, ':$1')
    return `${method} ${route}`
  })
  expect([...described].sort()).toEqual([...routes].sort())
  const ids = checker.operations.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
})

async function useTokens(): Promise<readonly CheckedAnswer[]> {
  const made = await send('/v1/tokens', { name: 'described', role: 'auditor', scopes: ['entries:read'] })
  const { id } = (made.value as { token: { id: string } }).token
  const expiresAt = new Date(Date.now() + 60_000).toISOString()
  return [
    made,
    await get('/v1/tokens?limit=2'),
    await get(`/v1/tokens/${id}`),
    await send(`/v1/tokens/${id}/expire`, { expiresAt }),
    await send(`/v1/tokens/${id}/revoke`, ''),
  ]
}

async function useIncident(): Promise<readonly CheckedAnswer[]> {
  const finding = { violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 7, detail: 'x', evidence: { stored: 'aa' } }
  const { id } = await api.server.incidents.open(finding, 'dendrolog')
  await api.server.incidents.addContainment(
    id,
    [{ measure: 'x', isDone: true, detail: 'y', at: hourAgo() }],
    'dendrolog',
  )
  await api.sql('update security_state.alarms set dead_at = now() where incident = $1', [id])
  return [
    await get('/v1/incidents'),
    await get('/v1/incidents/dead-letters?limit=1'),
    await get(`/v1/incidents/${id}`),
    await send(`/v1/incidents/${id}/alarms/retry`, ''),
    await send(`/v1/incidents/${id}/close`, { reason: 'restored' }),
    await get(`/v1/incidents/${id}`),
  ]
}

function hourAgo(): string {
  return new Date(Date.now() - 3_600_000).toISOString()
}

test('what every route answers fits its schema, and every route answers', async () => {
  await api.log.checkpoints.waitForWitnessed(300)
  const answers = []
  for (const path of [...good, `/ct/v1/get-proof-by-hash?tree_size=300&hash=${leafHash}`]) answers.push(await get(path))
  answers.push(await send('/add', 'bytes'), await send('/v1/entries', submissionWith()))
  answers.push(...(await useTokens()), ...(await useIncident()))
  expect(answers.filter(({ status }) => status > 201).map(({ id, status }) => ({ id, status }))).toEqual([])
  expect(new Set(answers.map(({ id }) => id))).toEqual(new Set(checker.operations.map(({ id }) => id)))
})

test('an answer with a member more, less or of another type would not fit', async () => {
  const { value } = await get('/v1/entries/1')
  const [schema, entry] = [['components', 'schemas', 'Entry'], value as object]
  expect(checker.errorsAt(schema, entry)).toEqual([])
  expect(checker.errorsAt(schema, { ...entry, more: 1 })).toHaveLength(1)
  expect(checker.errorsAt(schema, { ...entry, writer: undefined })).toHaveLength(1)
  expect(checker.errorsAt(schema, { ...entry, leafHash: 'ab' })).toHaveLength(1)
})

test('answers to submissions of every kind fit their schemas', async () => {
  const id = newId()
  const event = submissionWith({ id, clientIp: '2001:db8::1', occurredAt: '2024-01-01T00:00:00Z', lamport: 3 })
  const statuses = [
    await send('/v1/entries', event),
    await send('/v1/entries', event),
    await send('/v1/entries?wait=integrated', submissionWith()),
    await send('/v1/entries', { ...event, actorId: 'mallory' }),
    await send('/v1/entries', [event, { ...event, actorId: 'mallory' }, submissionWith(), { wrong: 1 }]),
    await send('/v1/entries', '[]'),
    await send('/v1/entries', Array(1_001).fill('x').join('\n'), { 'content-type': 'application/x-ndjson' }),
  ].map(({ status }) => status)
  expect(statuses).toEqual([201, 200, 201, 409, 200, 200, 200])
})

const bad: readonly (readonly [string, number])[] = [
  ['/v1/entries/0', 400],
  ['/v1/entries/abc', 400],
  ['/v1/entries/999999', 404],
  [`/v1/entries/${newId()}`, 404],
  ['/v1/entries/999999/proof', 404],
  ['/v1/entries/1?x=1', 400],
  ['/v1/entries?limit=0', 400],
  ['/v1/entries?limit=1001', 400],
  ['/v1/entries?order=up', 400],
  ['/v1/entries?from=yesterday', 400],
  ['/v1/entries?id=1', 400],
  ['/v1/entries?cursor=asc.1', 400],
  ['/v1/entries?actorId=', 400],
  ['/v1/entries/stream?after=999999', 400],
  ['/v1/proofs/inclusion', 400],
  ['/v1/proofs/inclusion?size=3', 400],
  ['/v1/proofs/inclusion?size=3&size=3&index=1', 400],
  ['/v1/proofs/consistency?from=3&to=1', 400],
  ['/v1/checkpoints?after=-1', 400],
  ['/v1/checkpoints/stream?after=1e3', 400],
  ['/tile/0/999', 404],
  ['/tile/entries/x', 404],
  ['/ct/v1/get-proof-by-hash?hash=abc&tree_size=1', 400],
  ['/ct/v1/get-proof-by-hash?tree_size=0&hash=', 400],
  ['/ct/v1/get-entries?start=3&end=1', 400],
  ['/ct/v1/get-entry-and-proof?leaf_index=3&tree_size=3', 400],
  ['/v1/incidents?state=all', 400],
  ['/v1/incidents/x', 400],
  [`/v1/incidents/${newId()}`, 404],
  ['/v1/verifier?x=1', 400],
]

test.each(bad)('GET %s is a %i that the document has', async (path, want) => {
  const { status, value } = await get(path)
  expect(status).toBe(want)
  expect(value).toMatchObject({ status: want, requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
})

const badPosts: readonly (readonly [string, unknown, Record<string, string>, number])[] = [
  ['/v1/entries', '{', {}, 400],
  ['/v1/entries', { actorId: 1 }, {}, 400],
  ['/v1/entries', '{"a":1,"a":1}', {}, 400],
  ['/v1/entries', 'x', { 'content-type': 'text/plain' }, 415],
  ['/v1/entries', 'x', { 'content-encoding': 'br' }, 415],
  ['/v1/entries', 'x', { 'content-encoding': 'gzip' }, 400],
  ['/v1/entries?wait=witnessed', {}, {}, 400],
  ['/v1/entries', Array(10_001).fill('1').join('\n'), { 'content-type': 'application/x-ndjson' }, 413],
  ['/add', 'x'.repeat(65_537), {}, 413],
  ['/v1/tokens', { name: 'x', role: 'king' }, {}, 400],
  ['/v1/tokens', { name: 'admin', role: 'admin' }, {}, 409],
  ['/v1/tokens/01890a5d-ac96-774b-bcce-b302099a8057/revoke', '', {}, 404],
  ['/v1/incidents/01890a5d-ac96-774b-bcce-b302099a8057/close', { reason: 'x' }, {}, 404],
  ['/v1/incidents/01890a5d-ac96-774b-bcce-b302099a8057/close', { reason: ' ' }, {}, 400],
  ['/v1/incidents/01890a5d-ac96-774b-bcce-b302099a8057/alarms/retry', '', {}, 404],
]

test.each(badPosts)('POST %s of %.30j is a problem that the document has', async (path, body, headers, want) => {
  expect((await send(path, body, headers)).status).toBe(want)
})

describe('who may call what', () => {
  const paths: Readonly<Record<string, string>> = {
    '/tile/entries/{index}': '/tile/entries/000',
    '/tile/{level}/{index}': '/tile/0/000',
    '/v1/entries/{n}': '/v1/entries/1',
    '/v1/entries/{n}/proof': '/v1/entries/1/proof',
    '/v1/entries/{n}/evidence': '/v1/entries/1/evidence',
  }
  test('is what the document says', async () => {
    for (const { method, path, roles } of checker.operations) {
      for (const role of [undefined, 'writer', 'auditor', 'admin'] as const) {
        const headers: Record<string, string> =
          role === undefined ? {} : { authorization: `Bearer ${api.tokens[role]}`, 'content-type': 'application/json' }
        const init = { method, headers, ...(method === 'POST' ? { body: '' } : {}) }
        const { status } = await checker.request(paths[path] ?? path, init)
        const refused = role === undefined ? 401 : 403
        const isLetIn = roles.length === 0 || (role !== undefined && roles.includes(role))
        expect({ path, role, isRefused: status === refused }).toEqual({ path, role, isRefused: !isLetIn })
      }
    }
  })
})

test('the schema of a submission takes what is taken and refuses what is refused, limit by limit', async () => {
  const schema = ['components', 'schemas', 'Submission']
  for (const [name, max] of [
    ['actorId', 255],
    ['action', 100],
    ['resource', 255],
  ] as const) {
    for (const length of [0, 1, max, max + 1]) {
      const event = submissionWith({ [name]: '\u{1f332}'.repeat(length) })
      const { status } = await send('/v1/entries?wait=integrated', event)
      expect({ name, length, fits: checker.errorsAt(schema, event).length === 0 }).toEqual({
        ...{ name, length, fits: status === 201 },
      })
    }
  }
  const refused = [{ tenant: 'x' }, { id: '01890a5d-ac96-474b-bcce-b302099a8057' }, { lamport: -1 }, { payload: [] }]
  for (const members of [...refused, { action: 'dendrolog.x' }, { occurredAt: 'now' }]) {
    expect(checker.errorsAt(schema, submissionWith(members)).length).toBeGreaterThan(0)
  }
})

test('the docs page has every path and schema, and loads nothing', async () => {
  const { headers, value } = await get('/docs')
  const policy = headers.get('content-security-policy') ?? ''
  expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; /)
  const page = String(value)
  for (const { id } of checker.operations) expect(page).toContain(`id="${id}"`)
  for (const name of Object.keys(checker.document.components.schemas)) expect(page).toContain(`id="schema-${name}"`)
  expect(page).not.toMatch(/<script|<link|<img|https?:|url\(|@import|\[object/)
})

test('the document and its page are for administrators where that is set, and say so', async () => {
  const closed = await openTestApi({ server: { publicDocs: false } })
  try {
    for (const path of ['/openapi.json', '/docs']) {
      const statuses = [await closed.get(path), await closed.get(path, 'auditor'), await closed.get(path, 'admin')]
      expect(statuses.map(({ status }) => status)).toEqual([401, 403, 200])
      for (const { headers } of statuses) expect(headers.has('access-control-allow-origin')).toBe(false)
    }
    const { paths } = (await closed.get('/openapi.json', 'admin')).json as {
      paths: Record<string, { get: { security: unknown } }>
    }
    for (const path of ['/openapi.json', '/docs']) expect(paths[path]?.get.security).toEqual([{ admin: ['docs:read'] }])
    expect((await closed.get('/readyz')).status).toBe(200)
  } finally {
    await closed.close()
  }
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
