import { deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BudgetShare, ByteBudget } from '../../api/byte-budget.ts'
import { decompress, type Encoding, readEncoding } from '../../api/decompress.ts'
import { Problem } from '../../api/problem.ts'
import { ConfigError, readConfig, reportConfig } from '../../src/config.ts'
import { makeId } from '../../src/ingest/make-id.ts'
import { RecordReader } from '../../src/ingest/record.ts'
import { readArray, readNdjson, TooManyRecords } from '../../src/ingest/records.ts'
import { skipValue } from '../../src/ingest/skip-value.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { valid } from '../ingest/arbitrary-submission.ts'
import { openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'
import { hostileRequests } from '../support/hostile-requests.ts'
import { exchange } from '../support/wire.ts'
import { fuzzing, nearly } from './mutation.ts'

// What the server reads from outside: bodies, encodings, paths and queries, settings, and the bytes of requests.

function utf8(text: string): { bytes: Uint8Array; start: number; end: number } {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}

const context = {
  provenance: { writer: utf8('token:fuzz'), sourcePosition: null },
  ...{ peerAddress: utf8('::'), makeId, sha256: nativeSha256 },
}
const reader = new RecordReader()
const recordsMax = 8

const events = fc.array(valid, { minLength: 1, maxLength: 4 })
const lines = events.map((all) => encodeUtf8(all.map((each) => JSON.stringify(each)).join('\n')))
const arrays = events.map((all) => encodeUtf8(JSON.stringify(all)))

describe.each([
  ['NDJSON', lines, readNdjson],
  ['an array', arrays, readArray],
] as const)('%s', (_, bodies, readRecords) => {
  test('each record is a submission or refused, in its place, or the body is refused', async () => {
    await fc.assert(
      fc.asyncProperty(nearly(bodies), async (body) => {
        const records = await readRecords(reader, body, { recordsMax }, context).catch(refused)
        if (records === undefined) return
        expect(records.submissions.length + records.refused.length).toBe(records.count)
        expect(records.count).toBeLessThanOrEqual(recordsMax)
        const places = [...records.places, ...records.refused.map(({ i }) => i)].sort((a, b) => a - b)
        expect(places).toEqual(places.map((__, i) => i))
        for (const { start, end } of records.refused) expect(start < end && end <= body.length).toBe(true)
      }),
      fuzzing,
    )
  })
})

test('the end of a value is found where it is, or not at all', () => {
  fc.assert(
    fc.property(nearly(arrays), fc.nat(200), (body, start) => {
      const end = skipValue(body, Math.min(start, body.length), body.length)
      expect(end === -1 || (end >= Math.min(start, body.length) && end <= body.length)).toBe(true)
    }),
    fuzzing,
  )
})

test('a packed body is unpacked, within its limit, or refused', async () => {
  const bytesMax = 2_000
  const packed = fc.oneof(
    fc.uint8Array({ maxLength: 3_000 }).map((bytes) => ['gzip', gzipSync(bytes)] as const),
    fc.uint8Array({ maxLength: 3_000 }).map((bytes) => ['deflate', deflateSync(bytes)] as const),
  )
  const budget = new ByteBudget(1_000_000)
  await fc.assert(
    fc.asyncProperty(
      packed.chain(([encoding, bytes]) =>
        fc.tuple(fc.constant<Encoding>(encoding), nearly(fc.constant(new Uint8Array(bytes)))),
      ),
      async ([encoding, body]) => {
        const share = new BudgetShare(budget)
        const unpacked = await decompress(encoding, body, bytesMax, share).catch(refused)
        share.close()
        expect(unpacked === undefined || unpacked.length <= bytesMax).toBe(true)
        expect(budget.bytesTaken).toBe(0)
      },
    ),
    fuzzing,
  )
})

test('a Content-Encoding names one that is known, none, or is refused', () => {
  const names = fc.constantFrom('gzip', 'deflate', 'identity', 'br', 'x-gzip', 'GZIP', '', ' ', '\t', ';q=1', '*')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(names).map((all) => all.join(',')),
        fc.string(),
      ),
      (header) => {
        try {
          expect([undefined, 'gzip', 'deflate', 'zstd']).toContain(readEncoding(header))
        } catch (error) {
          refused(error)
        }
      },
    ),
    fuzzing,
  )
})

test('any settings are read, or refused by the name of one', () => {
  const names = reportConfig({}).map(({ name }) => name)
  const values = fc.oneof(
    fc.constantFrom(
      '',
      '0',
      '-1',
      '1e3',
      '0x10',
      'true',
      'false',
      'postgres://a:b@c/d',
      'postgres://',
      '::',
      '127.0.0.1',
      'a b',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.nat().map(String),
  )
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), values), (environment) => {
      try {
        readConfig(environment)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        expect(names.some((name) => error.setting.includes(name))).toBe(true)
      }
    }),
    fuzzing,
  )
})

describe('a server', () => {
  let api: TestApi
  let port: number
  beforeAll(async () => {
    api = await openTestApi({ answerMs: 1_000 })
    await api.post(
      Array.from({ length: 10 }, () => submissionWith()),
      {},
      '?wait=published',
    )
    port = (await api.listen()).port
  })
  afterAll(() => api.close())

  const piece = fc.oneof(
    fc.constantFrom(
      'v1',
      'entries',
      'proofs',
      'inclusion',
      'consistency',
      'checkpoints',
      'ct',
      'tile',
      '0',
      '1',
      '000',
      'x000',
    ),
    fc.constantFrom(
      'get-entries',
      'get-sth-consistency',
      'get-proof-by-hash',
      'proof',
      '%00',
      '%ff',
      '..',
      '',
      '000.p',
      '%2f',
      '%',
    ),
    fc.string({ unit: 'binary', maxLength: 8 }).map((text) => encodeURIComponent(text.toWellFormed())),
  )
  const name = fc.constantFrom(
    ...[
      'from',
      'to',
      'index',
      'size',
      'first',
      'second',
      'start',
      'end',
      'hash',
      'tree_size',
      'leaf_index',
      'after',
      'limit',
    ],
    ...['cursor', 'order', 'actorId', 'actionPrefix', 'id', 'clientIp', 'wait', '__proto__', ''],
  )
  const value = fc.oneof(
    fc.constantFrom(
      '0',
      '1',
      '5',
      '10',
      '11',
      '-1',
      'desc.5',
      'asc.5',
      'desc',
      '',
      '%',
      '%ff',
      '%00',
      '2024-01-01T00:00:00Z',
      '1e1',
    ),
    fc.nat().map(String),
    fc.string({ unit: 'binary', maxLength: 12 }).map((text) => encodeURIComponent(text.toWellFormed())),
  )
  const target = fc.tuple(
    fc.oneof(
      fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => `/${pieces.join('/')}`),
      fc.constantFrom(
        '/v1/entries',
        '/v1/proofs/inclusion',
        '/v1/proofs/consistency',
        '/v1/checkpoints',
        '/ct/v1/get-entries',
      ),
      fc.constantFrom(
        '/ct/v1/get-sth-consistency',
        '/ct/v1/get-proof-by-hash',
        '/ct/v1/get-entry-and-proof',
        '/v1/entries/1',
      ),
    ),
    fc.array(fc.tuple(name, value), { maxLength: 4 }),
  )

  test('answers any path and query with what is asked for, or a problem of a status below 500', async () => {
    const headers = { authorization: `Bearer ${api.tokens.auditor}` }
    await fc.assert(
      fc.asyncProperty(target, async ([path, parameters]) => {
        const query = parameters.map(([key, text]) => `${key}=${text}`).join('&')
        const { status, json } = await read(api.app.request(`http://localhost${path}?${query}`, { headers }))
        expect(status).toBeLessThan(500)
        if (status >= 400) expect(json).toMatchObject({ status, code: expect.stringMatching(/^[a-z-]+$/) as string })
      }),
      fuzzing,
    )
    expect(api.unexpected).toEqual([])
  })

  test('answers bytes that are nearly a request with a status below 500, or hangs up, and goes on', async () => {
    const requests = fc
      .constantFrom(...hostileRequests)
      .map(({ bytes }) => new Uint8Array(Buffer.from(bytes(api.tokens), 'latin1')))
    await fc.assert(
      fc.asyncProperty(nearly(requests), async (bytes) => {
        const { answers } = await exchange(port, bytes, { half: true, limitMs: 3_000 })
        for (const { status } of answers) expect(status === 503 || (status >= 200 && status < 500)).toBe(true)
      }),
      { ...fuzzing, numRuns: Math.min(fuzzing.numRuns, 2_000) },
    )
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
    expect(api.unexpected).toEqual([])
  })
})

/** For what may be thrown; anything else is a bug. */
function refused(error: unknown): undefined {
  if (error instanceof TlogError || error instanceof Problem || error instanceof TooManyRecords) return undefined
  throw error
}
