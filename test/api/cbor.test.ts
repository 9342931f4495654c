import { decode, Encoder } from 'cbor-x'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'
import { type Checker, openChecker } from '../support/openapi.ts'

const encoder = new Encoder({ useRecords: false, tagUint8Array: false })
let api: TestApi
let checker: Checker

beforeAll(async () => {
  api = await openTestApi()
  checker = await openChecker(api.app)
})
afterAll(() => api.close())

const one = { 'content-type': 'application/cbor' }
const sequence = { 'content-type': 'application/cbor-seq' }

function cborOf(value: unknown): Uint8Array {
  return new Uint8Array(encoder.encode(value))
}

function post(body: Uint8Array, headers: Record<string, string> = one, query = ''): Promise<Answer> {
  return api.post(body, headers, query)
}

/** The members of an entry that its submission decides. */
function contentOf(entry: unknown): object {
  const { actorId, action, resource, occurredAt, lamport, payload, payloadHash } = entry as Record<string, unknown>
  return { actorId, action, resource, occurredAt, lamport, payload, payloadHash }
}

test('an event in CBOR becomes the same entry as the one in JSON', async () => {
  const payload = { n: 1.5, big: 2 ** 40, list: [null, true, 'ü"\n', {}], deep: { a: { b: -7 } } }
  const event = submissionWith({ payload, lamport: 2 ** 45, occurredAt: '2024-01-01T00:00:00Z' })
  const [inCbor, inJson] = [await post(cborOf(event)), await api.post(event)]
  expect(inCbor.status).toBe(201)
  expect(contentOf(inCbor.json.entry)).toEqual(contentOf(inJson.json.entry))
})

test('it is a duplicate of the one in JSON with its id', async () => {
  const event = submissionWith({ id: newId() })
  await api.post(event)
  expect((await post(cborOf(event))).status).toBe(200)
  expect((await post(cborOf({ ...event, actorId: 'mallory' }))).json.code).toBe('idempotency-conflict')
})

test.each([
  ['an array', one, (records: unknown[]) => cborOf(records)],
  [
    'an array without a length',
    one,
    (records: unknown[]) => Buffer.concat([Uint8Array.of(0x9f), ...records.map(cborOf), Uint8Array.of(0xff)]),
  ],
  ['a sequence', sequence, (records: unknown[]) => Buffer.concat(records.map(cborOf))],
])('of %s the good records go in, and the others are kept as they came', async (_, headers, encode) => {
  const bad = { ...submissionWith(), payload: { at: new Uint8Array([1, 2]) } }
  const records = [submissionWith(), bad, submissionWith(), 7, { ...submissionWith(), tenant: 1 }]
  const { status, json } = await post(new Uint8Array(encode(records)), headers)
  expect(status).toBe(200)
  expect(json).toMatchObject({ accepted: 2, quarantined: 3 })
  const results = json.results as Record<string, unknown>[]
  expect(results.map(({ i, code, pointer }) => ({ i, code, pointer }))).toEqual([
    { i: 1, code: 'json-not-strict', pointer: '/payload/at' },
    { i: 3, code: 'malformed-submission', pointer: '' },
    { i: 4, code: 'malformed-submission', pointer: '/tenant' },
  ])
  const [kept] = await api.sql('select raw from security.quarantine where quarantine_id = $1', [
    results[0]?.quarantineId,
  ])
  expect(new Uint8Array(kept?.raw as Buffer)).toEqual(cborOf(bad))
})

test.each([
  ['no bytes', one, 0],
  ['an empty array', one, 200],
  ['an empty sequence', sequence, 200],
])('%s is %s', async (what, headers) => {
  const body = what === 'an empty array' ? Uint8Array.of(0x80) : new Uint8Array(0)
  const { status, json } = await post(body, headers)
  if (what === 'no bytes') expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-cbor' })
  else expect({ status, accepted: json.accepted }).toEqual({ status: 200, accepted: 0 })
})

const event = cborOf(submissionWith())
const broken: readonly (readonly [string, Uint8Array, Record<string, string>])[] = [
  ['cut off', event.subarray(0, -1), one],
  ['followed by a byte', Buffer.concat([event, Uint8Array.of(0)]), one],
  ['an array cut off', cborOf([submissionWith(), submissionWith()]).subarray(0, -1), one],
  ['an array followed by a byte', Buffer.concat([cborOf([submissionWith()]), Uint8Array.of(0)]), one],
  ['an array without an end', Buffer.concat([Uint8Array.of(0x9f), event]), one],
  ['an array with half a length', Uint8Array.of(0x9b, 0), one],
  ['a sequence cut off', Buffer.concat([event, event.subarray(0, -1)]), sequence],
  ['JSON', Buffer.from(JSON.stringify(submissionWith())), one],
]

test.each(broken)('a body that is %s is malformed-cbor, and none of it goes in', async (_, body, headers) => {
  const before = api.log.health.integratedSize
  const { status, json } = await post(new Uint8Array(body), headers)
  expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-cbor' })
  expect(api.log.health.integratedSize).toBe(before)
})

test.each([
  ['a name twice', 'a1 677061796c6f6164 a2 6161 01 6161 01', 'json-not-strict', '/payload/a'],
  ['__proto__', 'a1 677061796c6f6164 a1 695f5f70726f746f5f5f 01', 'json-not-strict', '/payload/__proto__'],
  ['U+0000', 'a1 677061796c6f6164 a1 6161 6100', 'json-not-strict', '/payload/a'],
  ['65 levels', `a1 677061796c6f6164 ${'a16161'.repeat(64)} a0`, 'json-not-strict', `/payload${'/a'.repeat(64)}`],
  ['an unknown member', 'a1 6161 01', 'malformed-submission', '/a'],
  ['no map', '05', 'malformed-submission', ''],
])('a record with %s is refused as in JSON', async (_, hex, code, pointer) => {
  const { status, json } = await post(new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex')))
  expect({ status, code: json.code, pointer: json.pointer }).toEqual({ status: 400, code, pointer })
})

test.each([
  '/v1/log',
  '/v1/entries/1',
  '/v1/entries/1/proof',
  '/v1/entries?limit=2',
  '/v1/checkpoints',
  '/readyz',
  '/v1/entries/0',
])('GET %s is the same in CBOR and in JSON', async (path) => {
  await until(
    () => api.server.search.position() === api.log.health.integratedSize,
    () => 'everything is published and can be searched',
  )
  const headers = { authorization: `Bearer ${api.tokens.auditor}`, 'x-request-id': 'same' }
  const json = await checker.request(path, { headers })
  const cbor = await checker.request(path, { headers: { ...headers, accept: 'application/cbor' } })
  expect(cbor.type).toBe('application/cbor')
  expect({ status: cbor.status, value: cbor.value }).toEqual({ status: json.status, value: json.value })
})

test('integers of answers are integers in CBOR, however large', async () => {
  await api.post(submissionWith({ id: newId(), lamport: Number.MAX_SAFE_INTEGER }))
  const size = api.log.health.integratedSize
  const headers = { authorization: `Bearer ${api.tokens.auditor}`, accept: 'application/cbor' }
  const bytes = new Uint8Array(await (await api.app.request(`/v1/entries/${size}`, { headers })).arrayBuffer())
  expect(Buffer.from(bytes).toString('hex')).toContain('676c616d706f72741b001fffffffffffff')
  expect(decode(bytes)).toMatchObject({ sequenceNumber: size, payload: { reason: 'review' } })
})

test('receipts and answers to batches come in CBOR where that is preferred', async () => {
  const headers = {
    authorization: `Bearer ${api.tokens.writer}`,
    ...one,
    accept: 'application/json;q=0.5, application/cbor',
  }
  for (const [body, want] of [
    [event, 201],
    [cborOf([submissionWith(), 1]), 200],
    [cborOf({}), 400],
  ] as const) {
    const { status, type } = await checker.request('/v1/entries', {
      method: 'POST',
      headers,
      body: new Uint8Array(body),
    })
    expect({ status, type }).toEqual({ status: want, type: 'application/cbor' })
  }
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
