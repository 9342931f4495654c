import zlib from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, openTestApi, submissionWith, type TestApi } from '../support/api.ts'

const bytesMax = 100_000
let api: TestApi
beforeAll(async () => {
  api = await openTestApi({ limits: { bodyBytesMax: bytesMax } })
})
afterAll(() => api.close())

const good = JSON.stringify(submissionWith())
const lines = Buffer.from(`${good}\n${good}\n`)

function post(body: Uint8Array, encoding: string): Promise<Answer> {
  return api.post(body, { 'content-encoding': encoding, 'content-type': 'application/x-ndjson' })
}

test.each([
  ['gzip', zlib.gzipSync(lines)],
  ['GZIP', zlib.gzipSync(lines)],
  ['x-gzip', zlib.gzipSync(lines)],
  ['deflate', zlib.deflateSync(lines)],
  ['deflate', zlib.deflateSync(lines, { level: 0 })],
  ['deflate', zlib.deflateRawSync(lines)],
  ['deflate', zlib.deflateRawSync(lines, { level: 0 })],
  ['identity', lines],
  ['', lines],
  ['identity, gzip', zlib.gzipSync(lines)],
])('a body in %s is read', async (encoding, body) => {
  const { status, json } = await post(body, encoding)
  expect({ status, accepted: json.accepted }).toEqual({ status: 200, accepted: 2 })
})

test('a gzip body of several members is one body', async () => {
  const [first, second] = [lines.subarray(0, 20), lines.subarray(20)]
  const { json } = await post(Buffer.concat([zlib.gzipSync(first), zlib.gzipSync(second)]), 'gzip')
  expect(json).toMatchObject({ accepted: 2, quarantined: 0 })
})

const gzipped = zlib.gzipSync(lines)
const flipped = Buffer.from(gzipped)
flipped.writeUInt8(flipped.readUInt8(flipped.length - 5) ^ 1, flipped.length - 5)

test.each([
  ['nothing', Buffer.alloc(0), 'gzip'],
  ['plain text', lines, 'gzip'],
  ['cut off', gzipped.subarray(0, -1), 'gzip'],
  ['cut off in the middle', gzipped.subarray(0, 30), 'gzip'],
  ['of a wrong checksum', flipped, 'gzip'],
  ['followed by something', Buffer.concat([gzipped, Buffer.from('x')]), 'gzip'],
  ['followed by zeros', Buffer.concat([gzipped, Buffer.alloc(8)]), 'gzip'],
  ['followed by half a member', Buffer.concat([gzipped, gzipped.subarray(0, 12)]), 'gzip'],
  ['plain text', lines, 'deflate'],
  ['cut off', zlib.deflateSync(lines).subarray(0, -1), 'deflate'],
  ['followed by something', Buffer.concat([zlib.deflateSync(lines), lines]), 'deflate'],
])('a body that is %s is malformed-encoding and none of it goes in', async (_, body, encoding) => {
  const before = api.log.health.integratedSize
  const { status, json } = await post(body, encoding)
  expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-encoding' })
  expect(api.log.health.integratedSize).toBe(before)
})

test.each(['br', 'compress', 'snappy', 'gzip, gzip', 'gzip,deflate', 'x'.repeat(1_000)])(
  'the encoding %s is 415, with what would be taken',
  async (encoding) => {
    const { status, headers, json } = await post(gzipped, encoding)
    expect({ status, code: json.code }).toEqual({ status: 415, code: 'unsupported-encoding' })
    expect(headers.get('accept-encoding')).toContain('gzip, deflate')
  },
)

test('zstd is read where Node has it, and is 415 with the reason elsewhere', async () => {
  const compress = (zlib as { zstdCompressSync?: (bytes: Uint8Array) => Uint8Array }).zstdCompressSync
  const { status, json } = await post(compress?.(lines) ?? lines, 'zstd')
  if (compress === undefined) {
    expect({ status, code: json.code }).toEqual({ status: 415, code: 'unsupported-encoding' })
    expect(json.detail).toContain('22.15')
  } else {
    expect({ status, accepted: json.accepted }).toEqual({ status: 200, accepted: 2 })
  }
})

test.each([
  ['gzip', zlib.gzipSync(Buffer.alloc(64 * bytesMax))],
  ['deflate', zlib.deflateSync(Buffer.alloc(64 * bytesMax))],
])('a %s bomb is 413', async (encoding, bomb) => {
  expect(bomb.length).toBeLessThan(bytesMax)
  const { status, json } = await post(bomb, encoding)
  expect({ status, code: json.code }).toEqual({ status: 413, code: 'body-too-large' })
})

test('a body of exactly the limit is read, plain and decompressed; one more byte is 413', async () => {
  const exact = Buffer.from(good.padEnd(bytesMax, ' '))
  const over = Buffer.from(good.padEnd(bytesMax + 1, ' '))
  expect((await post(exact, 'identity')).json.accepted).toBe(1)
  expect((await post(zlib.gzipSync(exact), 'gzip')).json.accepted).toBe(1)
  for (const { status, json } of [await post(over, 'identity'), await post(zlib.gzipSync(over), 'gzip')]) {
    expect({ status, code: json.code }).toEqual({ status: 413, code: 'body-too-large' })
  }
})

test.each([
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/xml',
  'multipart/form-data; boundary=x',
  'application/json; charset=utf-16',
  '',
])('the media type %j is 415', async (type) => {
  const { status, json } = await api.post(good, { 'content-type': type })
  expect({ status, code: json.code }).toEqual({ status: 415, code: 'unsupported-media-type' })
})

test('no room is held when all is answered, and nothing of this was unexpected', () => {
  expect(api.server.bodyBudget.bytesTaken).toBe(0)
  expect(api.unexpected).toEqual([])
})
