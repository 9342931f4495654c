import { createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { formatHex, parseHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import {
  type CoseVerifier,
  checkConsistencyReceipt,
  checkInclusionReceipt,
  formatConsistencyReceipt,
  formatInclusionReceipt,
  signCoseTreeHead,
} from '../../tlog/cose-receipt.ts'
import { TlogError } from '../../tlog/errors.ts'
import { asHash, type Hash, leafHash, nobleSha256 } from '../../tlog/hash.ts'

// RFC 9942 by the vectors: every case verifies, and is written again byte by byte; every must-fail is refused.

type Case = {
  kind: 'inclusion' | 'consistency' | 'inclusion-multi'
  why: string
  leafIndex: number
  treeSize: number
  leafHashHex: string
  path: string[]
  treeSize1: number
  treeSize2: number
  root1Hex: string
  root2Hex: string
  algorithm: number
  protectedHex: string
  payloadHex: string
  signatureHex: string
  receiptHex: string
  leafIndexes: number[]
}
type Vectors = {
  keys: { ed25519: { publicKeyHex: string; thumbprintHex: string }; p256: { xHex: string; yHex: string } }
  cases: Case[]
  mustFail: { why: string; receiptHex: string; leafHashHex: string }[]
}
const path = new URL('../vectors/cose/receipts.json', import.meta.url)
const { keys, cases, mustFail } = JSON.parse(readFileSync(path, 'utf8')) as Vectors

const publicKey = parseHex(keys.ed25519.publicKeyHex)
const ed25519: CoseVerifier = {
  algorithms: [-8, -19],
  verify: (message, signature) => nodeSignatureCheck.ed25519(publicKey, message, signature),
}
const base64url = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url')
const p256Key = createPublicKey({
  key: { kty: 'EC', crv: 'P-256', x: base64url(keys.p256.xHex), y: base64url(keys.p256.yHex) },
  format: 'jwk',
})
const p256: CoseVerifier = {
  algorithms: [-7, -9],
  verify: (message, signature) => verify('sha256', message, { key: p256Key, dsaEncoding: 'ieee-p1363' }, signature),
}
const verifierOf = ({ algorithm }: Case): CoseVerifier => (ed25519.algorithms.includes(algorithm) ? ed25519 : p256)
const hash = (hex: string): Hash => asHash(parseHex(hex), 'test')
const headOf = ({ protectedHex, signatureHex }: Case) => ({
  protectedBytes: parseHex(protectedHex),
  signature: parseHex(signatureHex),
})

const inclusions = cases.filter(({ kind, treeSize }) => kind === 'inclusion' && treeSize > 1)
const consistencies = cases.filter(({ kind }) => kind === 'consistency')

test.each(inclusions)('inclusion: $why', (of) => {
  const receipt = parseHex(of.receiptHex)
  const checked = checkInclusionReceipt(receipt, hash(of.leafHashHex), verifierOf(of), nobleSha256)
  expect(checked).toMatchObject({ leafIndex: of.leafIndex, treeSize: of.treeSize })
  expect(formatHex(checked.root)).toBe(of.payloadHex)
  expect(formatHex(formatInclusionReceipt(headOf(of), checked))).toBe(of.receiptHex)
})

test.each(consistencies)('consistency: $why', (of) => {
  const receipt = parseHex(of.receiptHex)
  const checked = checkConsistencyReceipt(receipt, hash(of.root1Hex), verifierOf(of), nobleSha256)
  expect(checked).toMatchObject({ from: of.treeSize1, to: of.treeSize2 })
  expect(formatHex(checked.root)).toBe(of.root2Hex)
  expect(formatHex(formatConsistencyReceipt(headOf(of), checked))).toBe(of.receiptHex)
  const other = hash('00'.repeat(32))
  expect(() => checkConsistencyReceipt(receipt, other, verifierOf(of), nobleSha256)).toThrow()
})

test('several proofs of one root: any of the entries has this receipt', () => {
  const multi = cases.find(({ kind }) => kind === 'inclusion-multi') as Case
  for (const index of multi.leafIndexes) {
    const leaf = leafHash(new TextEncoder().encode(`entry-${index}`), nobleSha256)
    const checked = checkInclusionReceipt(parseHex(multi.receiptHex), leaf, verifierOf(multi), nobleSha256)
    expect(checked.leafIndex).toBe(index)
  }
})

describe('refused', () => {
  test.each(mustFail)('$why', ({ receiptHex, leafHashHex }) => {
    for (const verifier of [ed25519, p256]) {
      const check = () => checkInclusionReceipt(parseHex(receiptHex), hash(leafHashHex), verifier, nobleSha256)
      expect(check).toThrow(/CBOR|COSE|proof|hash/)
    }
  })

  test('the tree of one entry: it has no receipt, and is given none', () => {
    const one = cases.find(({ treeSize }) => treeSize === 1) as Case
    expect(() => checkInclusionReceipt(parseHex(one.receiptHex), hash(one.leafHashHex), ed25519, nobleSha256)).toThrow(
      'without hashes',
    )
    const first = { treeSize: asTreeSize(1), leafIndex: asLeafIndex(0), path: [] }
    expect(() => formatInclusionReceipt(headOf(one), first)).toThrow('a tree of one entry, has no receipt')
  })

  test('every bit of a receipt flipped once; a size is bound by what is signed, not by its proof', () => {
    const [of] = inclusions as [Case]
    const receipt = parseHex(of.receiptHex)
    const sizes = new Set<number>()
    for (let bit = 0; bit < 8 * receipt.length; bit++) {
      const flipped = receipt.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      const check = () => checkInclusionReceipt(flipped, hash(of.leafHashHex), ed25519, nobleSha256)
      try {
        sizes.add(check().treeSize)
      } catch (error) {
        expect(error).toBeInstanceOf(TlogError)
      }
    }
    // PATH(3, D[5]) is PATH(3, D[7]) of a tree with the same root: RFC 9942 signs the root alone.
    expect([...sizes]).toEqual([7])
  })
})

test('what is signed here is what the same check takes', () => {
  const signer = ed25519SignerFromSeed(new Uint8Array(32).fill(5))
  const [of] = inclusions as [Case]
  const head = signCoseTreeHead(
    { algorithm: -19, keyId: new Uint8Array(32).fill(1), sign: signer.sign },
    hash(of.payloadHex),
    { issuer: 'log.example', subject: 'log.example', timeS: 1_700_000_000 },
  )
  const own: CoseVerifier = {
    algorithms: [-19],
    verify: (message, signature) => nodeSignatureCheck.ed25519(signer.publicKey, message, signature),
  }
  const proof = {
    treeSize: asTreeSize(of.treeSize),
    leafIndex: asLeafIndex(of.leafIndex),
    path: of.path.map(hash),
  }
  const receipt = formatInclusionReceipt(head, proof)
  const checked = checkInclusionReceipt(receipt, hash(of.leafHashHex), own, nobleSha256)
  expect(checked).toMatchObject({ ...proof, subject: 'log.example' })
  expect(() => checkInclusionReceipt(receipt, hash(of.leafHashHex), ed25519, nobleSha256)).toThrow('signature')
})
