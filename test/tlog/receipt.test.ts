import { expect, test } from 'vitest'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { decodeUtf8, encodeUtf8, formatBase64, formatHex, parseBase64, parseHex } from '../../tlog/bytes.ts'
import { chainHash, chainText, genesisHash } from '../../tlog/chain.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asLeafIndex, asTreeSize, type SequenceNumber } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { entryMembers } from '../../tlog/entry-members.ts'
import { TlogError } from '../../tlog/errors.ts'
import { digest, type Hash, leafHash } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { type NoteVerifier, signNote, textVerifier } from '../../tlog/note.ts'
import { ed25519KeyType, namedKey } from '../../tlog/note-key.ts'
import { buildInclusionProof } from '../../tlog/proof.ts'
import { checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { parseUuid } from '../../tlog/uuid.ts'
import { referenceReader, referenceTree } from './reference-tree.ts'

type Receipt = {
  readonly entry: Readonly<Record<string, unknown>>
  readonly leaf: string
  readonly inclusionProof: { readonly leafIndex: number; readonly treeSize: number; readonly hashes: readonly string[] }
  readonly checkpoint: string
}

const origin = 'log.example/receipts'
const payload = { reason: 'review', '10': [1, { z: null, a: 'é' }], '9': 2 }

function keyOf(name: string, fill: number): { verifier: NoteVerifier; sign: (text: string) => string } {
  const { publicKey, sign } = ed25519SignerFromSeed(new Uint8Array(32).fill(fill))
  const key = namedKey(name, ed25519KeyType, publicKey)
  return {
    verifier: textVerifier(key, nodeSignatureCheck),
    sign: (text) => decodeUtf8(signNote(text, [{ name, keyId: key.keyId, sign }])),
  }
}

const log = keyOf(origin, 1)

function fieldsAt(sequenceNumber: number, previousHash: string): LeafFields {
  const texts = { actorId: 'alice', action: 'document.read', resource: 'doc/1' }
  const { actorId, action, resource } = texts
  const n = sequenceNumber as SequenceNumber
  return {
    ...texts,
    sequenceNumber,
    eventId: parseUuid('01893f9c-3488-7000-ab38-b735f67da507'),
    timestamp: 1_795_314_600_000_000 + sequenceNumber,
    occurredAt: 1_795_314_600_123_456,
    lamport: 7,
    clientIp: '192.0.2.1',
    writer: 'token:writer',
    sourcePosition: 'http:192.0.2.1',
    payloadHash: digest(encodeUtf8(jcs(payload))),
    currentHash: parseHex(chainHash(n, actorId, action, resource, chainText(payload), previousHash)) as Hash,
  }
}

/** The receipt of entry `n` in a log of `size` entries, signed by `key`. */
async function receiptOf(n: number, size: number, key = log): Promise<Receipt> {
  const all: { fields: LeafFields; previousHash: string }[] = []
  let previousHash = genesisHash
  for (let i = 1; i <= size; i++) {
    const fields = fieldsAt(i, previousHash)
    all.push({ fields, previousHash })
    previousHash = formatHex(fields.currentHash)
  }
  const tree = referenceTree(all.map(({ fields }) => encodeLeaf(fields)))
  const own = all[n - 1] as { fields: LeafFields; previousHash: string }
  const leaf = encodeLeaf(own.fields)
  const hashes = await buildInclusionProof(referenceReader(tree), asLeafIndex(n - 1), asTreeSize(size))
  const derived = { previousHash: own.previousHash, leafHash: formatHex(leafHash(leaf)), payload }
  return {
    entry: { ...entryMembers(own.fields), ...derived },
    leaf: formatBase64(leaf),
    inclusionProof: { leafIndex: n - 1, treeSize: size, hashes: hashes.map(formatBase64) },
    checkpoint: key.sign(formatCheckpoint({ origin, size: asTreeSize(size), root: tree.root(0, size) })),
  }
}

const receipt = await receiptOf(5, 9)

function check(value: unknown, verifier = log.verifier): string {
  try {
    checkReceipt(parseReceipt(encodeUtf8(JSON.stringify(value))), verifier)
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
  return 'holds'
}

test('a receipt holds, and says which entry under which checkpoint', async () => {
  for (const [n, size] of [
    [1, 1],
    [1, 2],
    [5, 9],
    [300, 300],
  ] as const) {
    const checked = checkReceipt(await receiptOf(n, size), log.verifier)
    expect(checked.fields.sequenceNumber).toBe(n)
    expect(checked.checkpoint).toMatchObject({ origin, size })
  }
})

const changed: Readonly<Record<string, unknown>> = {
  sequenceNumber: 6,
  id: '01893f9c-3488-7000-ab38-b735f67da508',
  timestamp: '2026-11-22T02:30:00.000006Z',
  occurredAt: null,
  lamport: 8,
  actorId: 'Alice',
  action: 'document.read ',
  resource: 'doc/2',
  clientIp: '192.0.2.2',
  writer: 'token:other',
  sourcePosition: null,
  payloadHash: '0'.repeat(64),
  currentHash: '0'.repeat(64),
  leafHash: '0'.repeat(64),
  payload: { ...payload, reason: 'none' },
}

test.each(Object.keys(receipt.entry))('a changed, missing or null entry.%s is found', (name) => {
  const want = name === 'previousHash' ? 'chain-mismatch' : 'leaf-mismatch'
  const value = name === 'previousHash' ? '0'.repeat(64) : changed[name]
  expect(value).not.toEqual(receipt.entry[name])
  expect(check({ ...receipt, entry: { ...receipt.entry, [name]: value } })).toBe(want)
  const { [name]: _, ...rest } = receipt.entry
  expect(check({ ...receipt, entry: rest })).not.toBe('holds')
  expect(check({ ...receipt, entry: { ...receipt.entry, [name]: 'null' } })).not.toBe('holds')
})

test.each([
  ['a member that JSON cannot tell apart from another', { ...payload, '9': '2' }],
  ['a member more', { ...payload, more: true }],
  ['an array in another order', { ...payload, '10': [{ z: null, a: 'é' }, 1] }],
  ['other normalisation', { ...payload, '10': [1, { z: null, a: 'e\u0301' }] }],
  ['no object', 'x'],
])('a payload with %s is found', (_, other) => {
  expect(check({ ...receipt, entry: { ...receipt.entry, payload: other } })).toBe('leaf-mismatch')
})

test('a payload whose members stand in another order is the same payload', () => {
  const reversed = Object.fromEntries(Object.entries(payload).reverse())
  expect(check({ ...receipt, entry: { ...receipt.entry, payload: reversed } })).toBe('holds')
})

test('an entry member that nothing covers is refused', () => {
  expect(check({ ...receipt, entry: { ...receipt.entry, approvedBy: 'bob' } })).toBe('leaf-mismatch')
})

test('members beside those of a receipt are ignored', () => {
  expect(check({ ...receipt, sth: {} })).toBe('holds')
})

test('every changed byte of the leaf is found', () => {
  const leaf = parseBase64(receipt.leaf)
  for (let i = 0; i < leaf.length; i++) {
    const other = leaf.with(i, (leaf[i] as number) ^ 1)
    const code = check({ ...receipt, leaf: formatBase64(other) })
    expect(['malformed-leaf', 'unknown-leaf-format', 'leaf-mismatch', 'out-of-range']).toContain(code)
  }
})

test('an entry that is changed together with its leaf is not in the tree', () => {
  const fields = { ...fieldsAt(5, String(receipt.entry.previousHash)), writer: 'token:mallory' }
  const leaf = encodeLeaf(fields)
  const entry = { ...receipt.entry, ...entryMembers(fields), leafHash: formatHex(leafHash(leaf)) }
  expect(check({ ...receipt, entry, leaf: formatBase64(leaf) })).toBe('inclusion-mismatch')
})

test('the first entry follows 64 zeros', async () => {
  const first = await receiptOf(1, 1)
  const previousHash = '1'.repeat(64)
  expect(check({ ...first, entry: { ...first.entry, previousHash } })).toBe('chain-mismatch')
})

test('every changed hash of the proof is found', () => {
  const { inclusionProof } = receipt
  inclusionProof.hashes.forEach((text, i) => {
    const other = formatBase64(parseBase64(text).with(3, 0x55))
    expect(other).not.toBe(text)
    const hashes = inclusionProof.hashes.with(i, other)
    expect(check({ ...receipt, inclusionProof: { ...inclusionProof, hashes } })).toBe('inclusion-mismatch')
  })
})

test.each([
  ['another index', { leafIndex: 5 }, 'inclusion-mismatch'],
  ['another size', { treeSize: 10 }, 'inclusion-mismatch'],
  ['a hash too few', { hashes: receipt.inclusionProof.hashes.slice(1) }, 'malformed-proof'],
  ['a hash too many', { hashes: [...receipt.inclusionProof.hashes, receipt.leaf.slice(0, 44)] }, 'malformed-proof'],
  ['a short hash', { hashes: receipt.inclusionProof.hashes.with(0, 'AAAA') }, 'malformed-proof'],
  ['an index as text', { leafIndex: '4' }, 'malformed-receipt'],
  ['an index that is no integer', { leafIndex: 4.5 }, 'malformed-receipt'],
  ['no hashes', { hashes: undefined }, 'malformed-receipt'],
  ['endless hashes', { hashes: new Array(54).fill('AAAA') }, 'malformed-receipt'],
])('a proof with %s is refused', (_, part, code) => {
  expect(check({ ...receipt, inclusionProof: { ...receipt.inclusionProof, ...part } })).toBe(code)
})

test('every changed line of the checkpoint is found', async () => {
  const lines = receipt.checkpoint.split('\n')
  const [, size, root] = lines as [string, string, string]
  const withLine = (i: number, line: string) => check({ ...receipt, checkpoint: lines.with(i, line).join('\n') })
  expect(withLine(0, `${origin}2`)).toBe('invalid-signature')
  expect(withLine(1, `${Number(size) + 1}`)).toBe('invalid-signature')
  expect(withLine(2, formatBase64(parseBase64(root).with(0, 0)))).toBe('invalid-signature')
  expect(withLine(3, 'extension\n')).toBe('invalid-signature')
  expect(withLine(4, '')).toBe('malformed-note')
  expect(check({ ...receipt, checkpoint: (await receiptOf(5, 8)).checkpoint })).toBe('inclusion-mismatch')
})

test('a checkpoint of another key, name or origin does not count', async () => {
  const otherKey = keyOf(origin, 2)
  expect(check(receipt, otherKey.verifier)).toBe('unverified-note')
  expect(check(receipt, keyOf('log.example/other', 1).verifier)).toBe('unverified-note')
  const other = keyOf('log.example/other', 3)
  expect(check(await receiptOf(5, 9, other), other.verifier)).toBe('origin-mismatch')
})

test.each([
  ['null', null],
  ['an array', []],
  ['a text', 'receipt'],
  ['an empty object', {}],
  ['an answer without proof', { entry: receipt.entry }],
  ['entry as text', { ...receipt, entry: 'x' }],
  ['leaf as number', { ...receipt, leaf: 5 }],
  ['an endless leaf', { ...receipt, leaf: 'A'.repeat(1_000_000) }],
  ['no checkpoint', { ...receipt, checkpoint: null }],
  ['an endless checkpoint', { ...receipt, checkpoint: 'x\n'.repeat(1_000_000) }],
  ['proof as array', { ...receipt, inclusionProof: [] }],
])('%s is no receipt', (_, value) => {
  expect(check(value)).toBe('malformed-receipt')
})

test('a payload of the greatest depth is read and checked', () => {
  const text = JSON.stringify(receipt).replace('"review"', `${'['.repeat(63)}${']'.repeat(63)}`)
  expect(check(JSON.parse(text))).toBe('leaf-mismatch')
})

test('what is nested without end is refused, also where plain JSON.parse read it', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
  const nested = { ...receipt, entry: { ...receipt.entry, payload: deep } }
  expect(() => checkReceipt(nested, log.verifier)).toThrow(TlogError)
  const asMember = { ...receipt, entry: { ...receipt.entry, actorId: deep } }
  expect(() => checkReceipt(asMember, log.verifier)).toThrow(TlogError)
})

test.each([
  ['a member twice', JSON.stringify(receipt).replace('"reason":', '"reason":"a","reason":')],
  ['__proto__', JSON.stringify(receipt).replace('"reason":', '"__proto__":{},"reason":')],
  ['a number that no double holds', JSON.stringify(receipt).replace('"lamport":7', '"lamport":7.00000000000000001')],
])('a receipt with %s is not strict JSON', (_, text) => {
  expect(() => parseReceipt(encodeUtf8(text))).toThrow(expect.objectContaining({ code: 'json-not-strict' }))
})
