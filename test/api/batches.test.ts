import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi({ limits: { recordsMax: 5, bodyBytesMax: 1_100_000 } })
})
afterAll(() => api.close())

const ndjson = { 'content-type': 'application/x-ndjson' }
const good = JSON.stringify(submissionWith())
const nothing = { accepted: 0, duplicates: 0, quarantined: 0, firstIndex: null, lastIndex: null, results: [] }

function hexOf(bytes: unknown): string {
  return Buffer.from(bytes as Uint8Array).toString('hex')
}

function postLines(text: string): Promise<Answer> {
  return api.post(text, ndjson)
}

test.each([
  ['an empty NDJSON body', '', ndjson],
  ['blank lines', '\n \r\n\t\n', ndjson],
  ['an empty array', '[]', {}],
  ['an empty array with white space', ' [\n] \n', {}],
])('%s is 200 with nothing accepted', async (_, body, headers) => {
  const { status, json } = await api.post(body, headers)
  expect({ status, json }).toEqual({ status: 200, json: nothing })
})

test.each([
  ['with a trailing newline', `${good}\n${good}\n`],
  ['without a trailing newline', `${good}\n${good}`],
  ['with CRLF', `${good}\r\n${good}\r\n`],
  ['with blank lines', `\n\n${good}\n  \n${good}\n\n`],
])('NDJSON %s has the same two records', async (_, text) => {
  const { status, json } = await postLines(text)
  expect(status).toBe(200)
  expect(json).toMatchObject({ accepted: 2, results: [] })
  expect(json.lastIndex).toBe((json.firstIndex as number) + 1)
})

test.each(['application/ndjson', 'application/jsonl', 'APPLICATION/X-NDJSON; charset=utf-8'])(
  '%s is NDJSON too',
  async (type) => {
    expect((await api.post(`${good}\n${good}`, { 'content-type': type })).json).toMatchObject({ accepted: 2 })
  },
)

test('an array of one is a batch: it is answered with counts, not with a receipt', async () => {
  const { status, json } = await api.post(`[${good}]`)
  expect(status).toBe(200)
  expect(json).toMatchObject({ accepted: 1, results: [] })
})

test('accepted records get consecutive indexes in request order, whatever stands between them', async () => {
  const actors = ['first', 'second', 'third']
  const [a, b, c] = actors.map((actorId) => JSON.stringify(submissionWith({ actorId })))
  const { json } = await postLines(`${a}\n{"broken\n${b}\n{"actorId":1}\n${c}`)
  expect(json).toMatchObject({ accepted: 3, quarantined: 2 })
  expect((json.results as { i: number }[]).map(({ i }) => i)).toEqual([1, 3])
  const first = json.firstIndex as number
  const found = await api.sql(
    'select actor_id, sequence_number from security.audit_logs where sequence_number > $1 order by sequence_number',
    [first],
  )
  expect(found.map((row) => row.actor_id)).toEqual(actors)
})

test('a refused record is kept with its raw bytes, their SHA-256 and the reason', async () => {
  const raw = '{"actorId":"a", "payload":{}, "secret~/":1 }'
  const { json } = await postLines(`${good}\n${raw}`)
  const [result] = json.results as Record<string, string>[]
  expect(result).toMatchObject({ i: 1, status: 'quarantined', code: 'malformed-submission', pointer: '/secret~0~1' })
  const [row] = await api.sql('select * from security.quarantine where quarantine_id = $1', [result?.quarantineId])
  expect(row).toMatchObject({
    writer: 'token:writer',
    code: result?.code,
    detail: result?.detail,
    pointer: result?.pointer,
  })
  expect(String(row?.raw)).toBe(raw)
  expect(hexOf(row?.raw_sha256)).toBe(createHash('sha256').update(raw).digest('hex'))
})

test.each([
  ['U+0000 in a name', '{"\\u0000":1}'],
  ['U+0000 in an unknown name beside', '{"a\\u0000":1,"actorId":2}'],
  ['a raw U+0000', '{"a":"\u0000"}'],
  ['a lone surrogate in a name', '{"\\ud800":1}'],
  ['an astral name that is cut in the detail', `{"${'x'.repeat(78)}\u{1f332}":1}`],
  ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
])('a record with %s does not keep its batch from going in', async (_, raw) => {
  const { status, json } = await api.post(
    Buffer.concat([Buffer.from(`${good}\n`), Buffer.from(raw), Buffer.from(`\n${good}`)]),
    ndjson,
  )
  expect(status).toBe(200)
  expect(json).toMatchObject({ accepted: 2, quarantined: 1 })
})

test('a record of more values than a payload may have is quarantined, in an array and as a line, and the others go in', async () => {
  const many = `{"payload":{"a":[${'1,'.repeat(1_100_000)}1]}}`
  const roomy = await openTestApi({ limits: { recordsMax: 5, bodyBytesMax: 4_000_000 } })
  try {
    for (const [body, headers] of [
      [`[${good},${many},${good}]`, {}],
      [`${good}\n${many}\n${good}`, ndjson],
    ] as const) {
      const { status, json } = await roomy.post(body, headers)
      expect({ status, ...json }).toMatchObject({ status: 200, accepted: 2, quarantined: 1 })
      expect(json.results).toMatchObject([{ i: 1, code: 'json-not-strict' }])
    }
    const { status, json } = await roomy.post(many)
    expect({ status, code: json.code, pointer: json.pointer }).toEqual({
      status: 400,
      code: 'json-not-strict',
      pointer: '',
    })
  } finally {
    await roomy.close()
  }
})

test('a record over its limit is quarantined, with the first MiB of its bytes and the hash of all of them', async () => {
  const large = JSON.stringify(submissionWith({ payload: { a: 'x'.repeat(1_048_577) } }))
  const { json } = await postLines(`${good}\n${large}`)
  const [result] = json.results as Record<string, string>[]
  expect(json).toMatchObject({ accepted: 1, quarantined: 1 })
  expect(result).toMatchObject({ pointer: '/payload', code: 'malformed-submission' })
  const [row] = await api.sql('select raw, raw_sha256 from security.quarantine where quarantine_id = $1', [
    result?.quarantineId,
  ])
  expect(row?.raw).toHaveLength(1_048_576)
  expect(hexOf(row?.raw_sha256)).toBe(createHash('sha256').update(large).digest('hex'))
})

test('as many records as a request may have are taken, one more is 413 and none of them goes in', async () => {
  expect((await postLines(`${good}\n`.repeat(5))).json).toMatchObject({ accepted: 5 })
  const before = api.log.health.integratedSize
  for (const answer of [await postLines(`${good}\n`.repeat(6)), await api.post(`[${Array(6).fill(good)}]`)]) {
    expect(answer.status).toBe(413)
    expect(answer.json.code).toBe('too-many-records')
  }
  expect(api.log.health.integratedSize).toBe(before)
})

test('duplicates and conflicts are told apart, in one request and over several', async () => {
  const [id, other] = [newId(), newId()]
  const lines = [
    submissionWith({ id }),
    submissionWith({ id: id.toUpperCase(), clientIp: '192.0.2.1' }),
    submissionWith({ id, payload: { reason: 'another' } }),
    submissionWith({ id: other }),
  ]
  const { json } = await api.post(lines)
  expect(json).toMatchObject({ accepted: 2, duplicates: 1, quarantined: 1 })
  const sequenceNumber = (json.firstIndex as number) + 1
  expect(json.results).toMatchObject([
    { i: 1, status: 'duplicate', code: 'duplicate', sequenceNumber },
    { i: 2, status: 'quarantined', code: 'idempotency-conflict', pointer: '/id', sequenceNumber },
  ])
  const again = await api.post(lines)
  expect(again.json).toMatchObject({ accepted: 0, duplicates: 3, quarantined: 1, firstIndex: null, lastIndex: null })
})

test.each([
  ['no comma', `[${good} ${good}]`],
  ['no end', `[${good}`],
  ['a trailing comma', `[${good},]`],
  ['text behind it', `[${good}] x`],
  ['an element that is no JSON', `[${good},{x}]`],
])('an array with %s is a 400, none of it goes in, and its bytes are kept', async (_, body) => {
  const before = api.log.health.integratedSize
  const { status, json } = await api.post(body)
  expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-json' })
  expect(api.log.health.integratedSize).toBe(before)
  const rows = await api.sql('select raw from security.quarantine where raw_sha256 = $1', [
    createHash('sha256').update(body).digest(),
  ])
  expect(String(rows[0]?.raw)).toBe(body)
})

test('an array of arrays refuses its elements one by one', async () => {
  const { json } = await api.post(`[[],${good},null,1]`)
  expect(json).toMatchObject({ accepted: 1, quarantined: 3 })
  expect((json.results as { i: number; pointer: string }[]).map(({ i, pointer }) => [i, pointer])).toEqual([
    [0, ''],
    [2, ''],
    [3, ''],
  ])
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
