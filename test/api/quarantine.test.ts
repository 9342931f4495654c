import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'

// What could not become an entry is kept, and never as more than its sender pays for.

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

const ndjson = { 'content-type': 'application/x-ndjson' }
const good = JSON.stringify(submissionWith())
const tooLong = `{"payload":{"a":"${'x'.repeat(4_300_000)}"}}`

async function countRows(): Promise<number> {
  const [row] = await api.sql('select count(*)::int as count from security.quarantine')
  return row?.count as number
}

async function rawOf(raw: string | Uint8Array): Promise<readonly Record<string, unknown>[]> {
  const sha256 = createHash('sha256').update(raw).digest()
  return api.sql('select code, detail, pointer, writer, raw from security.quarantine where raw_sha256 = $1', [sha256])
}

type Unlisted = { readonly quarantined: number; readonly quarantineIds: readonly string[] }

test('of very many refused records a thousand are listed and kept one by one, the others together', async () => {
  const before = await countRows()
  const body = gzipSync(`${'0\n'.repeat(9_000)}${good}`)
  expect(body.length).toBeLessThan(250)
  const { status, json, text } = await api.post(body, { ...ndjson, 'content-encoding': 'gzip' })
  expect(status).toBe(200)
  expect(json).toMatchObject({ accepted: 1, quarantined: 9_000 })
  expect(json.results).toHaveLength(1_000)
  expect(text.length).toBeLessThan(250_000)
  const { quarantined, quarantineIds } = json.unlisted as Unlisted
  expect(quarantined).toBe(8_000)
  expect(await countRows()).toBe(before + 1_001)
  const [row] = await api.sql('select * from security.quarantine where quarantine_id = $1', [quarantineIds[0]])
  expect(row).toMatchObject({ code: 'refused-together', pointer: null })
  expect(row?.detail).toMatch(/^8000 refused records from record 1000 of the request on; the first: /)
  expect(String(row?.raw)).toBe('0\n'.repeat(8_000))
})

test('records that are kept together lose no byte, whatever there is of them', async () => {
  const line = (n: number): string => `${n}`.padEnd(3_000, 'x')
  const { json } = await api.post(Array.from({ length: 2_000 }, (_, n) => line(n)).join('\n'), ndjson)
  const { quarantined, quarantineIds } = json.unlisted as Unlisted
  expect([quarantined, quarantineIds.length]).toEqual([1_000, 3])
  const rows = await api.sql(
    'select raw from security.quarantine where quarantine_id = any($1) order by quarantine_id',
    [quarantineIds],
  )
  const kept = rows.map((row) => String(row.raw)).join('')
  expect(kept).toBe(Array.from({ length: 1_000 }, (_, n) => `${line(1_000 + n)}\n`).join(''))
})

test('large bodies that come together are kept apart, although their buffers are used again', async () => {
  const { port } = await api.listen()
  const bodyOf = (n: number): string =>
    `${`{"no":"${n}","text":"${String(n).repeat(4_000)}"}\n`.repeat(20)}${good}\n`.repeat(1 + (n % 3))
  const send = async (n: number): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/entries`, {
      method: 'POST',
      headers: { ...ndjson, authorization: `Bearer ${api.tokens.writer}` },
      body: bodyOf(n),
    })
    expect(await response.json()).toMatchObject({ accepted: 1 + (n % 3), quarantined: 20 * (1 + (n % 3)) })
  }
  for (let round = 0; round < 4; round++) await Promise.all(Array.from({ length: 8 }, (_, i) => send(8 * round + i)))
  for (let n = 0; n < 32; n++) {
    const line = bodyOf(n).split('\n')[0] as string
    expect(await rawOf(line)).toHaveLength(20 * (1 + (n % 3)))
  }
})

test('refused records and conflicts share the list', async () => {
  const id = newId()
  const conflicts = Array.from({ length: 801 }, (_, lamport) => JSON.stringify(submissionWith({ id, lamport })))
  const { json } = await api.post(`${'0\n'.repeat(400)}${conflicts.join('\n')}`, ndjson)
  expect(json).toMatchObject({ accepted: 1, quarantined: 1_200, unlisted: { quarantined: 200 } })
  const codes = (json.results as { code: string }[]).map(({ code }) => code)
  expect(codes.filter((code) => code === 'idempotency-conflict')).toHaveLength(600)
})

test('where all are listed the answer says nothing of others', async () => {
  expect((await api.post(`${'0\n'.repeat(1_000)}`, ndjson)).json).not.toHaveProperty('unlisted')
})

test('a single event that is refused is kept with its bytes and the reason', async () => {
  const body = `{"actorId":"${newId()}","secret":1}`
  const { status, json } = await api.post(body)
  expect(status).toBe(400)
  const [row] = await rawOf(body)
  expect(row).toMatchObject({ writer: 'token:writer', code: json.code, detail: json.detail, pointer: json.pointer })
  expect(String(row?.raw)).toBe(body)
})

test('a single event whose id has other content is kept before its 409 is answered', async () => {
  const id = newId()
  await api.post(submissionWith({ id }))
  const body = JSON.stringify(submissionWith({ id, actorId: 'mallory' }))
  const { status, json } = await api.post(body)
  expect(status).toBe(409)
  expect(await rawOf(body)).toMatchObject([{ code: 'idempotency-conflict', detail: json.detail, pointer: '/id' }])
})

test('what is refused and cannot be kept is 503: who sends it drops it for a 4xx', async () => {
  const full = await openTestApi()
  const quarantine = (): Promise<never> => Promise.reject(new Error('no room'))
  Object.assign(full.server.door, { quarantine })
  try {
    const { status, headers } = await full.post('{"actorId":1}')
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toMatch(/^[1-9]$/)
  } finally {
    await full.close()
  }
})

test('nothing is kept of a body without a byte, and of a request without a token', async () => {
  const before = await countRows()
  expect((await api.post('')).status).toBe(400)
  expect((await api.post('{}', { authorization: 'Bearer nobody' })).status).toBe(401)
  expect(await countRows()).toBe(before)
})

test.each([
  ['NDJSON', [good, tooLong, good].join('\n'), ndjson],
  ['an array', `[${[good, tooLong, good].join(' , ')}]`, {}],
])('in %s a record longer than any may be is refused unread, and the others go in', async (_, body, headers) => {
  const { status, json } = await api.post(body, headers)
  expect(status).toBe(200)
  expect(json).toMatchObject({
    accepted: 2,
    results: [
      { i: 1, code: 'malformed-submission', pointer: '', detail: `submission: ${tooLong.length} bytes, limit 4259840` },
    ],
  })
  const [row] = await rawOf(tooLong)
  expect(row?.raw).toHaveLength(1_048_576)
})

test('alone it is a 400', async () => {
  const { status, json } = await api.post(tooLong)
  expect({ status, code: json.code, pointer: json.pointer }).toEqual({
    ...{ status: 400, code: 'malformed-submission', pointer: '' },
  })
})

test('an array with a long element that never ends is a 400', async () => {
  const { status, json } = await api.post(`[${good},${tooLong.slice(0, -1)}`)
  expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-json' })
})

test('an error in an array has its offset in the body, one in a line that in its line', async () => {
  const bad = '{"actorId":nothing}'
  const array = `[${good}, ${bad}]`
  expect((await api.post(array)).json.detail).toContain(`byte ${array.indexOf('nothing') + 1}:`)
  const { json } = await api.post(`${good}\n${bad}`, ndjson)
  expect((json.results as { detail: string }[])[0]?.detail).toContain(`byte ${bad.indexOf('nothing') + 1}:`)
})

test('a byte order mark is called by its name, the depth limit by its number', async () => {
  expect((await api.post(`\ufeff${good}`)).json.detail).toContain('byte 0: a byte order mark')
  expect((await api.post(`\ufeff[${good}]`)).json.detail).toContain('byte 0: a byte order mark')
  const deep = `{"a":${'['.repeat(64)}${']'.repeat(64)}}`
  expect((await api.post(`{"payload":${deep}}`)).json.detail).toContain('nested deeper than 64')
})
