import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8, formatBase64 } from '../../tlog/bytes.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkProofFile, leafHashOfExtra, parseProofFile } from '../../tlog/proof-file.ts'
import { type Answer, openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  for (let n = 0; n < 3; n++) await api.post(submissionWith())
})
afterAll(() => api.close())

function getProof(accept: string | undefined): Promise<Answer> {
  return read(api.app.request('/v1/entries/2/proof', accept === undefined ? {} : { headers: { accept } }))
}

test.each([
  undefined,
  '*/*',
  'application/json',
  'application/*',
  'text/html, */*;q=0.1',
  'text/plain;q=0.5, application/json',
])('the proof of an entry is JSON where Accept is %j', async (accept) => {
  const { status, headers, json } = await getProof(accept)
  expect([status, headers.get('content-type'), headers.get('vary')]).toEqual([200, 'application/json', 'Accept'])
  expect(json).toMatchObject({ leafIndex: 1, inclusionProof: { leafIndex: 1, treeSize: 3 } })
})

test.each(['text/plain', 'text/*', 'application/json;q=0.1, text/plain', 'application/json;q=0, */*'])(
  'the proof of an entry is a C2SP tlog-proof where Accept is %j',
  async (accept) => {
    const { status, headers, text } = await getProof(accept)
    expect([status, headers.get('content-type')]).toEqual([
      200,
      expect.stringMatching(/^text\/plain; ?charset=utf-8$/i),
    ])
    const proof = parseProofFile(encodeUtf8(text))
    const leaf = leafHashOfExtra(proof) ?? new Uint8Array(0)
    expect(formatBase64(leaf)).toBe((await getProof(undefined)).json.leafHash)
    const verifier = textVerifier(parseVkey(api.server.identity.vkey), nodeSignatureCheck)
    expect(checkProofFile(proof, leaf, verifier).size).toBe(3)
  },
)

test.each(['image/png', 'application/json;q=0', 'text/plain;q=0, application/json;q=0'])(
  'Accept: %s is a 406 that says what there is',
  async (accept) => {
    const { status, json, headers } = await getProof(accept)
    expect([status, json.code, headers.get('vary')]).toEqual([406, 'not-acceptable', 'Accept'])
    expect(json.detail).toContain('application/json or text/plain or application/cbor')
  },
)
