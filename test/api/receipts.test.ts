import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { type CheckedReceipt, checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { newId, openTestApi, submissionWith, type TestApi, type TestApiOptions } from '../support/api.ts'
import { until } from '../support/log.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

/** Opened by one test, closed after it. */
const own: TestApi[] = []
afterEach(async () => {
  for (const other of own.splice(0)) await other.close()
})

async function openOwn(options: TestApiOptions): Promise<TestApi> {
  const other = await openTestApi(options)
  own.push(other)
  return other
}

function check(text: string, of: TestApi = api): CheckedReceipt {
  const verifier = textVerifier(parseVkey(of.server.identity.vkey), nodeSignatureCheck)
  return checkReceipt(parseReceipt(new TextEncoder().encode(text)), verifier)
}

test('a new entry is 201 with a receipt that can be checked', async () => {
  const { status, text, json, headers } = await api.post(submissionWith({ payload: { '10': 1, b: 'é', a: [1e21] } }))
  expect(status).toBe(201)
  expect(Object.keys(json).sort()).toEqual(['checkpoint', 'entry', 'inclusionProof', 'leaf'])
  expect(check(text).fields.actorId).toBe('alice')
  expect(headers.get('cache-control')).toBe('no-store')
})

test('the same content again is 200 with a full receipt of the first entry', async () => {
  const record = submissionWith({ id: newId(), occurredAt: '2024-01-01T00:00:00Z', lamport: 7, clientIp: '192.0.2.1' })
  const first = await api.post(record)
  const again = await api.post({ ...record, clientIp: '192.0.2.2', occurredAt: '2024-01-01T01:00:00+01:00' })
  expect([first.status, again.status]).toEqual([201, 200])
  expect(again.json.entry).toEqual(first.json.entry)
  expect(check(again.text).fields).toEqual(check(first.text).fields)
})

test.each([
  ['payload', { reason: 'another' }],
  ['actorId', 'bob'],
  ['action', 'document.write'],
  ['resource', 'doc/2'],
  ['occurredAt', '2024-01-01T00:00:00Z'],
  ['lamport', 1],
])('the same id with another %s is 409 and nothing new is logged', async (member, value) => {
  const id = newId()
  await api.post(submissionWith({ id }))
  const before = api.log.health.integratedSize
  const { status, json } = await api.post(submissionWith({ id, [member]: value }))
  expect(status).toBe(409)
  expect(json).toMatchObject({ code: 'idempotency-conflict', pointer: '/id' })
  expect(api.log.health.integratedSize).toBe(before)
})

test('one id sent many times at once is one entry', async () => {
  const record = submissionWith({ id: newId() })
  const answers = await Promise.all(Array.from({ length: 50 }, () => api.post(record)))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(49)
  expect(new Set(answers.map(({ text }) => check(text).fields.sequenceNumber)).size).toBe(1)
})

test('what is answered when integrated has the entry and no proof', async () => {
  const { status, json } = await api.post(submissionWith(), {}, '?wait=integrated')
  expect({ status, members: Object.keys(json) }).toEqual({ status: 201, members: ['entry'] })
})

test('an entry that is integrated and not yet published is waited for by those who read it', async () => {
  const slow = await openOwn({ log: { checkpointIntervalMs: 300 } })
  await slow.post(submissionWith())
  const { json } = await slow.post(submissionWith(), {}, '?wait=integrated')
  expect(slow.log.published.treeSize).toBe(1)
  const { sequenceNumber } = json.entry as { sequenceNumber: number }
  expect((await slow.get(`/v1/entries/${sequenceNumber}`, 'auditor')).status).toBe(200)
  expect(slow.log.published.treeSize).toBe(2)
})

test('a batch that waits for its checkpoint is answered under it', async () => {
  const { json } = await api.post([submissionWith(), submissionWith()], {}, '?wait=published')
  expect(api.log.published.treeSize).toBeGreaterThan(json.lastIndex as number)
})

test.each([
  ['?wait=witnessed', 'no-witnesses'],
  ['?wait=', 'malformed-parameter'],
  ['?wait=Published', 'malformed-parameter'],
  ['?wait=integrated&wait=published', 'malformed-parameter'],
])('%s is a 400 that names the parameter, before anything is logged', async (query, code) => {
  const before = api.log.health.integratedSize
  const { status, json } = await api.post(submissionWith(), {}, query)
  expect(status).toBe(400)
  expect(json).toMatchObject({ code, parameter: 'wait' })
  expect(api.log.health.integratedSize).toBe(before)
})

test('a checkpoint that does not come in time is 503 with Retry-After, and the entry is logged', async () => {
  const slow = await openOwn({ answerMs: 1, log: { checkpointIntervalMs: 60_000 } })
  const { status, headers, json } = await slow.post(submissionWith())
  expect({ status, code: json.code }).toEqual({ status: 503, code: 'unavailable' })
  expect(headers.get('retry-after')).toMatch(/^[1-9][0-9]?$/)
  expect(slow.log.health.integratedSize).toBe(1)
})

test('while its database refuses the writer it is 503 with Retry-After; what is published stays readable', async () => {
  const stopped = await openOwn({})
  const { text } = await stopped.post(submissionWith())
  const [row] = await stopped.sql('select current_database() as name')
  await stopped.sql(`revoke connect on database ${row?.name} from public`)
  await stopped.sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_writer_role' and datname = current_database()",
  )
  await until(
    () => !stopped.log.health.isReady,
    () => 'the log to stop',
  )
  const { status, headers, json } = await stopped.post(submissionWith())
  expect({ status, code: json.code }).toEqual({ status: 503, code: 'unavailable' })
  expect(headers.get('retry-after')).toMatch(/^[1-9][0-9]?$/)
  const readiness = await stopped.get('/readyz')
  expect(readiness.status).toBe(503)
  expect(readiness.headers.get('retry-after')).toMatch(/^[12]$/)
  expect(readiness.json.code).toMatch(/^[A-Z_]+$/)
  for (const words of [readiness.text, String(json.detail)]) {
    expect(words).not.toMatch(/permission denied|User does not|terminated|administrator/)
    expect(words).not.toContain(String(row?.name))
  }
  expect((await stopped.get('/healthz')).status).toBe(200)
  expect((await stopped.get('/checkpoint')).status).toBe(200)
  expect(check(text, stopped).checkpoint.size).toBe(1)
  await stopped.sql(`grant connect on database ${row?.name} to public`)
  await until(
    () => stopped.log.health.isReady,
    () => 'the log to go on',
  )
  expect((await stopped.post(submissionWith())).status).toBe(201)
})
