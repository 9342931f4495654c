import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, openTestApi, read, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

function add(body: Uint8Array<ArrayBuffer> | string, headers: Record<string, string> = {}): Promise<Answer> {
  const authorization = `Bearer ${api.tokens.writer}`
  return read(api.app.request('/add', { method: 'POST', body, headers: { authorization, ...headers } }))
}

test('whatever bytes come become an entry, and its index is the answer, nothing else', async () => {
  for (const body of ['', 'text', '{"a":', '\u0000', new Uint8Array(randomBytes(65_536))]) {
    const { status, text, headers } = await add(body)
    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch(/^text\/plain/)
    expect(text).toMatch(/^(0|[1-9][0-9]*)$/)
    const { json } = await api.get(`/v1/entries/${Number(text) + 1}`, 'auditor')
    expect(json).toMatchObject({ action: 'add', resource: '/add', actorId: json.writer })
    expect(json.payload).toEqual({ data: Buffer.from(body).toString('base64') })
  }
})

test('the same bytes are another entry each time, with the next index', async () => {
  const [first, second] = [await add('again'), await add('again')]
  expect(Number(second.text)).toBe(Number(first.text) + 1)
})

test('a packed body is unpacked', async () => {
  const { text } = await add(new Uint8Array(gzipSync('packed')), { 'content-encoding': 'gzip' })
  const { json } = await api.get(`/v1/entries/${Number(text) + 1}`, 'auditor')
  expect(json.payload).toEqual({ data: Buffer.from('packed').toString('base64') })
})

test('more than 64 KiB are 413, and so are those that are packed', async () => {
  const tooLong = new Uint8Array(65_537)
  expect(await add(tooLong)).toMatchObject({ status: 413, json: { code: 'body-too-large' } })
  const packed = new Uint8Array(gzipSync(tooLong))
  expect((await add(packed, { 'content-encoding': 'gzip' })).status).toBe(413)
})

test('only writers may', async () => {
  const post = async (token?: string): Promise<number> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    return (await api.app.request('/add', { method: 'POST', body: 'x', headers })).status
  }
  expect([await post(), await post(api.tokens.auditor), await post('nobody')]).toEqual([401, 403, 401])
})

test('a query is refused, and another method too', async () => {
  const response = api.app.request('/add?wait=published', {
    method: 'POST',
    body: 'x',
    headers: { authorization: `Bearer ${api.tokens.writer}` },
  })
  expect(await read(response)).toMatchObject({ status: 400, json: { code: 'malformed-parameter', parameter: 'wait' } })
  expect((await api.app.request('/add')).status).toBe(405)
})
