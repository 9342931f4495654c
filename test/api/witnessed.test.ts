import { afterEach, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkProofJson } from '../../tlog/proof-json.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'

// What clients see of a log with three witnesses, of which two are the quorum.

let api: TestApi
afterEach(() => api.close())

const cosignatures = (note: unknown): number => String(note).match(/^\u2014 w\d\.example /gm)?.length ?? 0

test('a receipt under a checkpoint that the quorum has cosigned, for one and for many', async () => {
  api = await openTestApi({ witnesses: 3 })
  const one = await api.post(submissionWith(), {}, '?wait=witnessed')
  expect(one.status).toBe(201)
  expect(cosignatures(one.json.checkpoint)).toBeGreaterThanOrEqual(2)
  const many = await api.post([submissionWith(), submissionWith()], {}, '?wait=witnessed')
  expect(many.json).toMatchObject({ accepted: 2, lastIndex: 2 })
  expect(api.log.checkpoints.witnessed?.treeSize).toBe(3)
})

test('who they are, and the newest that they cosigned', async () => {
  api = await openTestApi({ witnesses: 3 })
  const about = (await api.get('/v1/log')).json
  expect(about).toMatchObject({ publish: 'at-once', witnesses: [{ name: 'w1' }, { name: 'w2' }, { name: 'w3' }] })
  await api.post(submissionWith(), {}, '?wait=witnessed')
  const witnessed = await api.get('/v1/checkpoints/witnessed')
  expect(witnessed.headers.get('cache-control')).toBe('no-store')
  expect(cosignatures(witnessed.text)).toBeGreaterThanOrEqual(2)
  await until(
    async () => cosignatures((await api.get('/checkpoint')).text) === 3,
    () => 'not all three',
  )
  const { checkpoints } = (await api.get('/v1/checkpoints?limit=1000')).json as { checkpoints: { note: string }[] }
  expect(cosignatures(checkpoints.at(-1)?.note)).toBe(3)
})

test('a proof under the newest checkpoint that the quorum has cosigned, which is waited for', async () => {
  api = await openTestApi({ witnesses: 3 })
  await api.post(submissionWith(), {}, '?wait=integrated')
  const { json } = await api.get('/v1/entries/1/proof?under=witnessed')
  expect(cosignatures(json.checkpoint)).toBeGreaterThanOrEqual(2)
  const verifier = textVerifier(parseVkey(api.server.identity.vkey), nodeSignatureCheck)
  expect(checkProofJson(json, verifier)).toMatchObject({ kind: 'leaf', leafIndex: 0 })
  await api.close()
  api = await openTestApi()
  await api.post(submissionWith())
  const refused = await api.get('/v1/entries/1/proof?under=witnessed')
  expect(refused).toMatchObject({ status: 400, json: { code: 'no-witnesses', parameter: 'under' } })
})

test('after the quorum: what is published has it', async () => {
  api = await openTestApi({ witnesses: 3, publishesAfterQuorum: true })
  const { json } = await api.post(submissionWith())
  expect(cosignatures(json.checkpoint)).toBeGreaterThanOrEqual(2)
  expect((await api.get('/v1/log')).json).toMatchObject({ publish: 'after-quorum', treeSize: 1 })
  expect(cosignatures((await api.get('/checkpoint')).text)).toBeGreaterThanOrEqual(2)
})

test('a log without witnesses cannot be waited for so, and has no such checkpoint', async () => {
  api = await openTestApi()
  const refused = await api.post(submissionWith(), {}, '?wait=witnessed')
  expect(refused).toMatchObject({ status: 400, json: { code: 'no-witnesses', parameter: 'wait' } })
  expect((await api.get('/v1/checkpoints/witnessed')).status).toBe(404)
  const unknown = await api.post(submissionWith(), {}, '?wait=blessed')
  expect(unknown.json).toMatchObject({ parameter: 'wait', detail: expect.stringContaining('published or witnessed') })
})
