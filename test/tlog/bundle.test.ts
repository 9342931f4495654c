import { describe, expect, test } from 'vitest'
import { signTreeHead } from '../../src/log/signer.ts'
import { ed25519SignerFromSeed, generateP256Pem, nodeSignatureCheck, p256Signer } from '../../src/ops/signing.ts'
import { type Bundle, type BundleHead, checkBundle, decodeBundle, encodeBundle, isBundle } from '../../tlog/bundle.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import { digest, type Hash, nobleSha256 } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { textVerifier } from '../../tlog/note.ts'
import { formatVkey, namedKey } from '../../tlog/note-key.ts'
import { referenceTree } from './reference-tree.ts'

const origin = 'log.example/bundle'
const note = ed25519SignerFromSeed(new Uint8Array(32).fill(1))
const key = namedKey(origin, 1, note.publicKey)
const sth = p256Signer(generateP256Pem())
const verifier = textVerifier(key, nodeSignatureCheck)
const signing = { note: { name: origin, keyId: key.keyId, sign: note.sign }, sth }

const payloadOf = (n: number): Uint8Array => encodeUtf8(jcs({ n }))
const leaves = Array.from({ length: 20 }, (_, i) =>
  encodeLeaf({
    ...{ sequenceNumber: i + 1, eventId: new Uint8Array(16).fill(i), timestamp: 1_700_000_000_000_000 + i },
    ...{ occurredAt: null, lamport: null, actorId: 'alice', action: 'read', resource: 'doc', clientIp: '::' },
    ...{ writer: 'token:t', sourcePosition: null, payloadHash: digest(payloadOf(i), nobleSha256) },
    currentHash: digest(encodeUtf8(`chain ${i}`), nobleSha256),
  }),
)
const tree = referenceTree(leaves)
const otherTree = referenceTree([encodeUtf8('other'), ...leaves.slice(1)])

async function headOf(size: number, from = 0, of = tree): Promise<BundleHead> {
  const signed = await signTreeHead(
    signing,
    origin,
    size,
    { treeSize: size, root: of.root(0, size) },
    1_700_000_001_000 + size,
  )
  return {
    ...{ note: signed.note, cosignatures: '' },
    sth: { timestampMs: signed.timestampMs, signature: signed.sthSignature },
    extension: from === 0 ? [] : of.proof(from, size),
    stamps: [
      {
        ...{ authority: 'tsa', token: Uint8Array.of(1, 2, 3), certificates: [Uint8Array.of(4, 5)] },
        renewals: [
          {
            ...{ authority: 'other', token: Uint8Array.of(6), certificates: [Uint8Array.of(7)] },
            ...{ index: 1, size: 2, path: [digest(Uint8Array.of(8), nobleSha256)] },
          },
        ],
      },
    ],
    logs: [
      {
        ...{ log: 'outside', vkey: formatVkey(key), index: 4, leaf: undefined, checkpoint: signed.note },
        path: [digest(Uint8Array.of(9), nobleSha256)],
      },
    ],
  }
}

const good: Bundle = {
  entries: [2, 6].map((i) => ({
    ...{ leafIndex: i, leaf: leaves[i] as Uint8Array, path: tree.path(i, 0, 7) as Hash[] },
    payload: i === 2 ? payloadOf(2) : undefined,
  })),
  heads: [await headOf(7), await headOf(13, 7), await headOf(20, 13)],
  keys: [{ vkey: formatVkey(key), from: 0, until: null }],
  sthKey: sth.spki,
}
const check = (bundle: Bundle | Uint8Array) =>
  checkBundle(bundle instanceof Uint8Array ? bundle : encodeBundle(bundle), verifier, nodeSignatureCheck, nobleSha256)

test('a good one holds: two entries under three heads', () => {
  const bytes = encodeBundle(good)
  expect(isBundle(bytes)).toBe(true)
  expect(decodeBundle(bytes)).toEqual(good)
  const { fields, checkpoints } = check(bytes)
  expect(fields.map(({ sequenceNumber }) => sequenceNumber)).toEqual([3, 7])
  expect(checkpoints.map(({ size }) => size)).toEqual([7, 13, 20])
})

test('no byte of it may be another', () => {
  const bytes = encodeBundle(good)
  for (let i = 0; i < bytes.length; i++) {
    const flipped = bytes.slice()
    flipped[i] = (flipped[i] as number) ^ 1
    expect(() => check(flipped), `byte ${i}`).toThrow('bundle')
  }
})

test('one entry fits in 12 KB many times over', async () => {
  const heads = [{ ...(await headOf(7)), stamps: [] }]
  expect(encodeBundle({ ...good, entries: good.entries.slice(0, 1), heads }).length).toBeLessThan(2_000)
})

describe('whoever writes the hash anew is caught by what was signed', async () => {
  const first = good.entries[0] as Bundle['entries'][0]
  const [small, middle] = good.heads as [BundleHead, BundleHead]
  test.each<[string, Bundle]>([
    ['another leaf', { ...good, entries: [{ ...first, leaf: leaves[3] as Uint8Array }] }],
    ['another place', { ...good, entries: [{ ...first, leafIndex: 3 }] }],
    ['another payload', { ...good, entries: [{ ...first, payload: payloadOf(9) }] }],
    ['a path that is short', { ...good, entries: [{ ...first, path: first.path.slice(1) }] }],
    ['no entry', { ...good, entries: [] }],
    ['no head', { ...good, heads: [] }],
    ['a head of another history', { ...good, heads: [small, await headOf(13, 7, otherTree)] }],
    ['heads in another order', { ...good, heads: [middle, small] }],
    ['a first head that extends something', { ...good, heads: [{ ...small, extension: tree.proof(3, 7) }] }],
    ['an STH of another head', { ...good, heads: [{ ...small, sth: middle.sth }] }],
    ['an STH of another time', { ...good, heads: [{ ...small, sth: { ...small.sth, timestampMs: 1 } }] }],
    ['another STH key', { ...good, sthKey: p256Signer(generateP256Pem()).spki }],
  ])('%s', (_, bundle) => {
    expect(() => check(bundle)).toThrow()
  })

  test('another log', () => {
    const stranger = ed25519SignerFromSeed(new Uint8Array(32).fill(2))
    const other = textVerifier(namedKey(origin, 1, stranger.publicKey), nodeSignatureCheck)
    expect(() => checkBundle(encodeBundle(good), other, nodeSignatureCheck, nobleSha256)).toThrow()
  })
})
