import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { checkBundle } from '../../tlog/bundle.ts'
import { nobleSha256 } from '../../tlog/hash.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'

// Evidence bundles of a log with witnesses.

let api: TestApi

beforeAll(async () => {
  api = await openTestApi({ witnesses: 3 })
  await api.post(
    Array.from({ length: 300 }, (_, i) => submissionWith({ payload: { i } })),
    {},
    '?wait=witnessed',
  )
})
afterAll(() => api.close())

async function get(path: string): Promise<Uint8Array> {
  const answer = await api.app.request(path, { headers: { authorization: `Bearer ${api.tokens.auditor}` } })
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/vnd.dendrolog.evidence+cbor'])
  return new Uint8Array(await answer.arrayBuffer())
}

const check = (bytes: Uint8Array) =>
  checkBundle(bytes, textVerifier(parseVkey(api.test.keys.vkey), nodeSignatureCheck), nodeSignatureCheck, nobleSha256)

test('of one entry: with its payload or without, cosigned, below 12 KB', async () => {
  const bytes = await get('/v1/entries/7/evidence')
  expect(bytes.length).toBeLessThan(12_000)
  const { bundle, fields } = check(bytes)
  expect(fields.map(({ sequenceNumber }) => sequenceNumber)).toEqual([7])
  expect(Buffer.from(bundle.entries[0]?.payload ?? []).toString()).toBe('{"i":6}')
  expect(bundle.heads.at(-1)?.cosignatures.match(/^\u2014 w\d/gm)?.length).toBeGreaterThanOrEqual(2)
  const without = check(await get('/v1/entries/7/evidence?payload=false'))
  expect(without.bundle.entries[0]?.payload).toBeUndefined()
})

test('of several: they share what is said of the tree', async () => {
  const { fields } = check(await get('/v1/evidence?entries=300,1,256'))
  expect(fields.map(({ sequenceNumber }) => sequenceNumber)).toEqual([1, 256, 300])
})

test.each([
  ['/v1/entries/301/evidence', 404, undefined],
  ['/v1/entries/0/evidence', 400, 'n'],
  ['/v1/evidence', 400, 'entries'],
  ['/v1/evidence?entries=1,1', 400, 'entries'],
  ['/v1/evidence?entries=1,x', 400, 'entries'],
  [`/v1/evidence?entries=${Array.from({ length: 1_001 }, (_, i) => i + 1).join(',')}`, 400, 'entries'],
  ['/v1/entries/1/evidence?payload=maybe', 400, 'payload'],
])('%s is %d', async (path, status, parameter) => {
  const answer = await api.get(path, 'auditor')
  expect(answer.status).toBe(status)
  if (parameter !== undefined) expect(answer.json).toMatchObject({ parameter })
})

test('is for auditors', async () => {
  expect((await api.get('/v1/entries/1/evidence')).status).toBe(401)
  expect((await api.get('/v1/entries/1/evidence', 'writer')).status).toBe(403)
})
