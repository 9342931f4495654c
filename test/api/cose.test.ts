import { createPublicKey } from 'node:crypto'
import { detached, receipt as independent } from '@transmute/cose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { parseBase64 } from '../../tlog/bytes.ts'
import { decodeCbor } from '../../tlog/cbor-value.ts'
import { type CoseLog, openConsistencyReceipt, openInclusionReceipt } from '../../tlog/cose-checkpoint.ts'
import { coseThumbprint } from '../../tlog/cose-key.ts'
import { asHash, type Hash, nobleSha256 } from '../../tlog/hash.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { origin } from '../support/log.ts'

// COSE receipts as they are served, checked by ourselves and by another implementation of RFC 9942.

const entries = 11
let api: TestApi
let log: CoseLog
beforeAll(async () => {
  api = await openTestApi()
  const spki = parseBase64(api.server.identity.sthPublicKey)
  log = { origin, spki, check: nodeSignatureCheck }
})
afterAll(() => api.close())

const accept = { accept: 'application/cose' }

async function receiptOf(path: string): Promise<Uint8Array> {
  const response = await api.app.request(path, { headers: accept })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('application/cose')
  return new Uint8Array(await response.arrayBuffer())
}

async function refusalOf(path: string): Promise<{ readonly status: number; readonly json: unknown }> {
  const response = await api.app.request(path, { headers: accept })
  return { status: response.status, json: await response.json() }
}

async function leafHashOf(sequenceNumber: number): Promise<Hash> {
  const { json } = await api.get(`/v1/entries/${sequenceNumber}/proof`)
  return asHash(parseBase64(json.leafHash as string))
}

/** The other implementation's view of the log's key. */
function otherVerifier() {
  const key = createPublicKey({ key: Buffer.from(log.spki), format: 'der', type: 'spki' }).export({ format: 'jwk' })
  return detached.verifier({ resolver: { resolve: async () => ({ ...key, alg: 'ES256' }) as never } })
}

test('a tree of one entry has no receipt, and the answer says so', async () => {
  await api.post(submissionWith(), {}, '?wait=published')
  const refused = await refusalOf('/v1/entries/1/proof')
  expect(refused).toMatchObject({
    status: 404,
    json: { code: 'no-receipt', detail: expect.stringContaining('a tree of one entry has no receipt') },
  })
})

describe('of a tree of eleven', () => {
  let rootOfThree: Hash
  beforeAll(async () => {
    await api.post([submissionWith(), submissionWith()], {}, '?wait=published')
    rootOfThree = api.log.published.root
    const others = Array.from({ length: entries - 3 }, () => submissionWith())
    await api.post(others, {}, '?wait=published')
  })

  test('each entry has a receipt, which both implementations take', async () => {
    for (let n = 1; n <= entries; n++) {
      const receipt = await receiptOf(`/v1/entries/${n}/proof`)
      const leaf = await leafHashOf(n)
      const opened = openInclusionReceipt(receipt, leaf, log, nobleSha256)
      expect(opened).toMatchObject({ leafIndex: n - 1, treeSize: entries, issuer: origin, subject: 'tree-size:11' })
      const request = { entry: leaf, receipt: receipt.buffer as never, verifier: otherVerifier() }
      expect(Buffer.from(await independent.inclusion.verify(request))).toEqual(Buffer.from(opened.root))
    }
  })

  test('the other implementation refuses it for another leaf', async () => {
    const receipt = await receiptOf('/v1/entries/3/proof')
    const request = { entry: await leafHashOf(4), receipt: receipt.buffer as never, verifier: otherVerifier() }
    await expect(independent.inclusion.verify(request)).rejects.toThrow()
    const open = async () => openInclusionReceipt(receipt, await leafHashOf(4), log, nobleSha256)
    await expect(open()).rejects.toThrow('not over the root')
  })

  // From 3: of a power of two the other one wants the smaller root in the path, where RFC 9162 (2.1.4.2) leaves it out.
  test('one of consistency, which both take', async () => {
    const receipt = await receiptOf(`/v1/proofs/consistency?from=3&to=${entries}`)
    const opened = openConsistencyReceipt(receipt, rootOfThree, log, nobleSha256)
    expect(opened).toMatchObject({ from: 3, to: entries, subject: 'tree-size:11' })
    const fromOne = await receiptOf(`/v1/proofs/consistency?from=1&to=${entries}`)
    expect(openConsistencyReceipt(fromOne, await leafHashOf(1), log, nobleSha256).root).toEqual(opened.root)
    const request = {
      ...{ oldRoot: new Uint8Array(rootOfThree).buffer, newRoot: new Uint8Array(opened.root).buffer },
      ...{ receipt: receipt.buffer as never, verifier: otherVerifier() },
    }
    expect(await independent.consistency.verify(request)).toBeTruthy()
  })

  test('none where no checkpoint has the size, or nothing is to be proved', async () => {
    const between = await refusalOf('/v1/proofs/consistency?from=1&to=7')
    expect(between).toMatchObject({
      status: 404,
      json: { code: 'no-receipt', detail: expect.stringContaining('to: ') },
    })
    const same = await refusalOf(`/v1/proofs/consistency?from=${entries}&to=${entries}`)
    expect(same).toMatchObject({ status: 404, json: { code: 'no-receipt' } })
  })

  test('a receipt that says another size than its proof is refused', async () => {
    const receipt = await receiptOf('/v1/entries/1/proof')
    const at = Buffer.from(receipt).indexOf(Buffer.from('830b00', 'hex'))
    receipt[at + 1] = 12
    const leaf = await leafHashOf(1)
    expect(() => openInclusionReceipt(receipt, leaf, log, nobleSha256)).toThrow('what was signed says tree-size:11')
    const other = { ...log, origin: 'other.example' }
    receipt[at + 1] = 11
    expect(() => openInclusionReceipt(receipt, leaf, other, nobleSha256)).toThrow('issued by')
  })
})

test('the key of receipts is a COSE_KeySet, named by its thumbprint', async () => {
  const response = await api.app.request('/.well-known/scitt-keys')
  expect(response.headers.get('content-type')).toBe('application/cbor')
  const [key] = decodeCbor(new Uint8Array(await response.arrayBuffer())) as unknown as [Map<number, Uint8Array>]
  expect(Buffer.from(key.get(2) ?? [])).toEqual(Buffer.from(coseThumbprint(log.spki)))
  expect(key.get(3)).toBe(-7)
  expect(Buffer.concat([key.get(-2) as Uint8Array, key.get(-3) as Uint8Array])).toEqual(
    Buffer.from(log.spki.slice(-64)),
  )
})
