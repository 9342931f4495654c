import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createTokenSecret } from '../../src/auth/token.ts'
import { AlarmSender } from '../../src/incident/alarm-sender.ts'
import { IncidentOffice } from '../../src/incident/incident-office.ts'
import { entryOfAct } from '../../src/log/own-act-entry.ts'
import { webhook } from '../../src/ops/hooks/webhook.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { readOldestActs } from '../../src/store/acts.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkOwnAct } from '../../tlog/own-act.ts'
import { corrupt, quick } from '../incident/desk.ts'
import { type Answer, openTestApi, read, type TestApi } from '../support/api.ts'
import { origin, schema, until } from '../support/log.ts'
import { openReceiver } from '../support/receiver.ts'

let api: TestApi
let office: IncidentOffice
let state: Pool
beforeAll(async () => {
  api = await openTestApi()
  office = api.server.incidents
  state = openPool(api.test.database.as('app_state_role'), 2, 10_000)
})
beforeEach(async () => {
  await api.sql('truncate security_state.alarms, security_state.opened_incidents, security_state.acts')
})
afterAll(async () => {
  await state.close()
  await api.close()
})

const unknown = '01890a5d-ac96-774b-bcce-b302099a8057'

/** As the administrator, or with another secret. */
function call(method: string, path: string, body?: unknown, secret = api.tokens.admin): Promise<Answer> {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return read(api.app.request(path, { method, headers, ...(body === undefined ? {} : { body: text }) }))
}

async function narrowed(role: string, ...scopes: readonly string[]): Promise<string> {
  const name = `narrow-${createTokenSecret().slice(-8).replaceAll(/\W|_/g, 'x')}`
  return String((await call('POST', '/v1/tokens', { name, role, scopes })).json.secret)
}

function open(sequenceNumber: number, violationType = 'PAYLOAD_CORRUPT'): Promise<{ readonly id: string }> {
  return office.open({ ...corrupt, sequenceNumber, violationType }, 'dendrolog')
}

type Listed = { readonly id: string; readonly sequenceNumber: number }

async function list(query = ''): Promise<readonly number[]> {
  const { json } = await call('GET', `/v1/incidents${query}`)
  return (json.incidents as Listed[]).map(({ sequenceNumber }) => sequenceNumber)
}

test('incidents are listed the newest first, in pages, each once, without evidence', async () => {
  for (let n = 1; n <= 7; n++) await open(n)
  const pages: number[][] = []
  for (let cursor: unknown; cursor !== null; ) {
    const { status, headers, json } = await call(
      'GET',
      `/v1/incidents?limit=3${cursor === undefined ? '' : `&cursor=${cursor}`}`,
    )
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(JSON.stringify(json)).not.toMatch(/evidence|containment/)
    pages.push((json.incidents as Listed[]).map(({ sequenceNumber }) => sequenceNumber))
    cursor = json.nextCursor
    // What is opened meanwhile moves no page.
    await open(100 + pages.length)
  }
  expect(pages).toEqual([[7, 6, 5], [4, 3, 2], [1]])
})

test('a page that is just full is the last where there is no more', async () => {
  for (let n = 1; n <= 2; n++) await open(n)
  expect((await call('GET', '/v1/incidents?limit=2')).json.nextCursor).toBeNull()
  expect((await call('GET', '/v1/incidents?limit=1')).json.nextCursor).toEqual(expect.any(String))
})

test('incidents are filtered by state and type, pages of them too', async () => {
  for (let n = 1; n <= 3; n++) await open(n)
  await open(4, 'TILE_MISMATCH')
  const { id } = await open(5, 'TILE_MISMATCH')
  await office.close(id, 'local:root', 'restored')
  expect(await list()).toEqual([5, 4, 3, 2, 1])
  expect(await list('?state=open')).toEqual([4, 3, 2, 1])
  expect(await list('?state=closed')).toEqual([5])
  expect(await list('?violationType=TILE_MISMATCH')).toEqual([5, 4])
  expect(await list('?violationType=TILE_MISMATCH&state=open')).toEqual([4])
  expect(await list('?violationType=ROLLBACK')).toEqual([])
  const { json } = await call('GET', '/v1/incidents?violationType=PAYLOAD_CORRUPT&limit=2')
  expect(await list(`?violationType=PAYLOAD_CORRUPT&cursor=${json.nextCursor}`)).toEqual([1])
})

test('an incident has its evidence, how often it was found, what was done, and what hooks were told', async () => {
  const { id } = await open(7)
  await open(7)
  const done = [{ measure: 'pin-checkpoint', isDone: true, detail: 'kept', at: '2026-01-01T00:00:00.000000Z' }]
  await office.addContainment(id, done, 'dendrolog')
  await api.sql(`update security_state.alarms set dead_at = now(), attempts = 20, last_error = 'status 500'
                 where incident = '${id}' and news = 'opened'`)
  const { status, headers, json } = await call('GET', `/v1/incidents/${id.toUpperCase()}`)
  expect([status, headers.get('cache-control')]).toEqual([200, 'no-store'])
  expect(json).toMatchObject({
    incident: {
      ...{ id, violationType: 'PAYLOAD_CORRUPT', key: 'PAYLOAD_CORRUPT@7', sequenceNumber: 7, count: 2, state: 'open' },
      ...{ detail: corrupt.detail, evidence: corrupt.evidence, containment: done, openedBy: 'dendrolog' },
      ...{ firstSeen: expect.stringMatching(/Z$/), lastSeen: expect.stringMatching(/Z$/), closedAt: null },
    },
    alarms: [
      { incident: id, news: 'opened', hook: 'webhook', state: 'dead', attempts: 20, lastError: 'status 500' },
      { incident: id, news: 'contained', hook: 'webhook', state: 'pending', attempts: 0, lastError: null },
    ],
  })
})

test('an incident is closed once, by whoever is authenticated, told in a signed act and to the hooks', async () => {
  const { id } = await open(7)
  const closed = await call('POST', `/v1/incidents/${id}/close`, { reason: 'row 7 restored' })
  expect([closed.status, closed.headers.get('cache-control')]).toEqual([200, 'no-store'])
  expect(closed.json).toMatchObject({
    incident: { id, state: 'closed', closedBy: 'token:admin', closeReason: 'row 7 restored' },
  })
  const again = await call('POST', `/v1/incidents/${id}/close`, { reason: 'no, it was me' })
  expect([again.status, again.json]).toEqual([200, closed.json])
  const verifier = textVerifier(parseVkey(api.test.keys.vkey), nodeSignatureCheck)
  const acts = (await readOldestActs(state.query, schema, 10)).map((act) => checkOwnAct(entryOfAct(act), verifier))
  expect(acts).toMatchObject([
    { action: 'dendrolog.incident.open', actorId: 'dendrolog', resource: `incident:${id}` },
    {
      ...{ action: 'dendrolog.incident.close', actorId: 'token:admin', resource: `incident:${id}` },
      detail: { incidentId: id, violationType: 'PAYLOAD_CORRUPT', reason: 'row 7 restored' },
    },
  ])
  expect((await open(7)).id).not.toBe(id)
  expect(await hooksToldOf(id)).toEqual(['incident.opened', 'incident.closed'])
})

/** Has what waits delivered to a real receiver; what it was told of the incident. */
async function hooksToldOf(id: string): Promise<readonly unknown[]> {
  const receiver = await openReceiver()
  const hook = webhook({ url: new URL(receiver.url), secrets: [new Uint8Array(32)], nowMs: Date.now })
  const silent = (): void => {}
  const sender = new AlarmSender({
    ...{ query: state.query, schema, origin, hooks: [hook], timing: quick },
    ...{ onAttempt: silent, onCounted: silent, onFailed: silent },
  })
  const stop = new AbortController()
  const running = sender.run(stop.signal)
  const told = (): readonly { readonly type?: unknown }[] =>
    receiver.received.filter(({ body }) => body.includes(id)).map(({ body }) => JSON.parse(body) as object)
  try {
    await until(
      () => told().length >= 2,
      () => `the hook was told of opening and closing: ${JSON.stringify(receiver.received)}`,
    )
    return told().map(({ type }) => type)
  } finally {
    stop.abort()
    await running
    await receiver.close()
  }
}

test('of those who close at the same time one did it', async () => {
  const { id } = await open(7)
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, n) => call('POST', `/v1/incidents/${id}/close`, { reason: `reason ${n}` })),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200))
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  expect(await api.sql(`select from security_state.acts where action = 'dendrolog.incident.close'`)).toHaveLength(1)
})

const reasons: [unknown, string][] = [
  [{}, '/reason'],
  [{ reason: '' }, '/reason'],
  [{ reason: ' \t\n\u00a0' }, '/reason'],
  [{ reason: null }, '/reason'],
  [{ reason: 7 }, '/reason'],
  [{ reason: ['x'] }, '/reason'],
  [{ reason: 'x'.repeat(1_001) }, '/reason'],
  [{ reason: '\u{1f332}'.repeat(1_001) }, '/reason'],
  [{ reason: 'x', by: 'local:root' }, '/by'],
  ['[]', ''],
]

test.each(reasons)('a body that is no closing (%#) is 400, says where, and closes nothing', async (body, pointer) => {
  const { id } = await open(7)
  const { status, json } = await call('POST', `/v1/incidents/${id}/close`, body)
  expect([status, json.code, json.pointer]).toEqual([400, 'malformed-body', pointer])
  expect(await list('?state=open')).toEqual([7])
})

test.each(['x', 'x'.repeat(1_000), '\u{1f332}'.repeat(1_000), ' \u202e"\\ '])(
  'a reason of 1 to 1,000 characters (%#) stays as it was sent',
  async (reason) => {
    const { id } = await open(7)
    await call('POST', `/v1/incidents/${id}/close`, { reason })
    expect((await call('GET', `/v1/incidents/${id}`)).json).toMatchObject({ incident: { closeReason: reason } })
  },
)

test('a reason that is not strict JSON is refused', async () => {
  const { id } = await open(7)
  const codes = []
  for (const body of ['{"reason":"a\\u0000"}', '{"reason":"\\ud800"}', '{"reason":"a","reason":"b"}', '{', '']) {
    codes.push((await call('POST', `/v1/incidents/${id}/close`, body)).json.code)
  }
  expect(codes).toEqual([
    'json-not-strict',
    'json-not-strict',
    'json-not-strict',
    ...['malformed-json', 'malformed-json'],
  ])
  expect(await list('?state=open')).toEqual([7])
})

test('dead letters are listed, and those of one incident are tried again', async () => {
  const [{ id }, other] = [await open(7), await open(8)]
  expect((await call('GET', '/v1/incidents/dead-letters')).json).toEqual({ alarms: [] })
  await api.sql(`update security_state.alarms set dead_at = now(), attempts = 20, last_error = 'status 500'`)
  const { json } = await call('GET', '/v1/incidents/dead-letters')
  expect((json.alarms as { incident: string }[]).map(({ incident }) => incident)).toEqual([id, other.id])
  expect((await call('GET', '/v1/incidents/dead-letters?limit=1')).json.alarms).toHaveLength(1)
  expect((await call('POST', `/v1/incidents/${id}/alarms/retry`)).json).toEqual({ retried: 1 })
  expect((await call('POST', `/v1/incidents/${id}/alarms/retry`)).json).toEqual({ retried: 0 })
  await api.sql(`update security_state.alarms set delivered_at = now() where incident = '${id}'`)
  expect((await call('POST', `/v1/incidents/${id}/alarms/retry`)).json).toEqual({ retried: 0 })
  const left = (await call('GET', '/v1/incidents/dead-letters')).json.alarms
  expect(left).toMatchObject([{ incident: other.id, state: 'dead', lastError: 'status 500' }])
})

test('an id of nothing is 404, one that is none is 400 and named', async () => {
  for (const [method, path, body] of [
    ['GET', ''],
    ['POST', '/close', { reason: 'x' }],
    ['POST', '/alarms/retry'],
  ] as const) {
    const missing = await call(method, `/v1/incidents/${unknown}${path}`, body)
    expect([missing.status, missing.json.code]).toEqual([404, 'no-such-incident'])
    const { status, json } = await call(method, `/v1/incidents/7${path}`, body)
    expect([status, json.code, json.parameter]).toEqual([400, 'malformed-parameter', 'id'])
    expect(json.detail).toContain('want a UUID')
  }
})

test('queries are read strictly', async () => {
  for (const [query, parameter] of [
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['cursor=x', 'cursor'],
    ['state=all', 'state'],
    ['violationType=payload', 'violationType'],
    ['type=ROLLBACK', 'type'],
  ]) {
    const { status, json } = await call('GET', `/v1/incidents?${query}`)
    expect([status, json.code, json.parameter]).toEqual([400, 'malformed-parameter', parameter])
  }
  expect((await call('GET', `/v1/incidents/${unknown}?x=1`)).json.parameter).toBe('x')
  expect((await call('POST', `/v1/incidents/${unknown}/close?now=1`, { reason: 'x' })).json.parameter).toBe('now')
  expect((await call('GET', '/v1/incidents/dead-letters?limit=1001')).json.parameter).toBe('limit')
})

test('administrators read and close; auditors read; writers do neither', async () => {
  const { id } = await open(7)
  const reads = ['/v1/incidents', '/v1/incidents/dead-letters', `/v1/incidents/${id}`, '/v1/verifier']
  const acts = [`/v1/incidents/${id}/alarms/retry`, `/v1/incidents/${id}/close`]
  for (const [role, wantRead, wantAct] of [
    ['writer', 403, 403],
    ['auditor', 200, 403],
    ['admin', 200, 200],
  ] as const) {
    const secret = api.tokens[role]
    for (const path of reads)
      expect([role, path, (await call('GET', path, undefined, secret)).status]).toEqual([role, path, wantRead])
    for (const path of acts) {
      const body = path.endsWith('close') ? { reason: 'x' } : undefined
      expect([role, path, (await call('POST', path, body, secret)).status]).toEqual([role, path, wantAct])
    }
  }
  for (const path of reads) expect((await read(api.app.request(path))).status).toBe(401)
  const refused = await call('GET', '/v1/incidents', undefined, api.tokens.writer)
  expect(refused.json.detail).toBe('this takes a token of the role auditor or admin')
})

test('a token that is narrowed to scopes has just these', async () => {
  const { id } = await open(7)
  const close = (secret: string): Promise<Answer> => call('POST', `/v1/incidents/${id}/close`, { reason: 'x' }, secret)
  for (const role of ['auditor', 'admin']) {
    const reader = await narrowed(role, 'incidents:read')
    expect((await call('GET', `/v1/incidents/${id}`, undefined, reader)).status).toBe(200)
    expect((await call('GET', '/v1/verifier', undefined, reader)).status).toBe(200)
    expect((await close(reader)).status).toBe(403)
    expect((await call('GET', '/v1/tokens', undefined, reader)).status).toBe(403)
  }
  const others = await narrowed('auditor', 'entries:read')
  expect((await call('GET', '/v1/incidents', undefined, others)).json.detail).toContain('incidents:read')
  const measures = await narrowed('admin', 'metrics:read', 'incidents:read')
  expect((await close(measures)).json.detail).toContain('incidents:manage')
  const manager = await narrowed('admin', 'incidents:manage')
  expect((await call('GET', '/v1/incidents', undefined, manager)).json.detail).toContain('incidents:read')
  expect((await close(manager)).json).toMatchObject({ incident: { closedBy: expect.stringMatching(/^token:narrow-/) } })
  const wrong = await call('POST', '/v1/tokens', { name: 'x', role: 'auditor', scopes: ['incidents:manage'] })
  expect([wrong.status, wrong.json.pointer]).toEqual([400, '/scopes/0'])
})

test('what cannot be told is not done: with a full outbox nothing is closed', async () => {
  const { id } = await open(7)
  await api.sql(
    `insert into security_state.acts (id, action, resource, actor, occurred_at, detail, signature)
     select gen_random_uuid(), 'dendrolog.test', 'filler', 't', now(), '{}', 's' from generate_series(1, 10000)`,
  )
  const { status, headers, json } = await call('POST', `/v1/incidents/${id}/close`, { reason: 'x' })
  expect([status, json.code, headers.has('retry-after')]).toEqual([503, 'unavailable', true])
  expect(await list('?state=open')).toEqual([7])
  expect((api.unexpected as unknown[]).splice(0)).toHaveLength(1)
})

test('where the database is away it is 503 with Retry-After; the verifier is told of all the same', async () => {
  const away = openPool({ host: '127.0.0.1', port: 1, user: 'nobody' }, 1, 1_000)
  const makeOffice = (pool: Pool): IncidentOffice =>
    new IncidentOffice({
      ...{ query: pool.query, schema, hooks: [], makeId: () => unknown, nowMs: Date.now },
      signAct: () => {
        throw new Error('nothing is signed')
      },
    })
  const other = await openTestApi({ server: { incidents: makeOffice(away) } })
  try {
    const headers = { authorization: `Bearer ${other.tokens.admin}`, 'content-type': 'application/json' }
    for (const [method, path] of [
      ['GET', '/v1/incidents'],
      ['GET', '/v1/incidents/dead-letters'],
      ['GET', `/v1/incidents/${unknown}`],
      ['POST', `/v1/incidents/${unknown}/close`],
      ['POST', `/v1/incidents/${unknown}/alarms/retry`],
    ] as const) {
      const body = path.endsWith('close') ? '{"reason":"x"}' : undefined
      const answer = await read(other.app.request(path, { method, headers, ...(body === undefined ? {} : { body }) }))
      expect([path, answer.status, answer.json.code]).toEqual([path, 503, 'unavailable'])
      expect(answer.headers.get('retry-after')).toMatch(/^[1-9]$/)
    }
    expect(other.unexpected).toHaveLength(5)
    expect((await other.get('/v1/verifier', 'admin')).status).toBe(200)
  } finally {
    await away.close()
    await other.close()
  }
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
