import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { TlogError, type TlogErrorCode } from '../../tlog/errors.ts'
import { type NoteSigner, type NoteVerifier, textVerifier } from '../../tlog/note.ts'
import { ed25519KeyType, namedKey } from '../../tlog/note-key.ts'
import { checkOwnAct, formatOwnAct, type OwnAct, type OwnActEntry, signOwnAct } from '../../tlog/own-act.ts'

const origin = 'test.example/log'

function keyPair(name: string, seedByte: number): { signer: NoteSigner; verifier: NoteVerifier } {
  const { publicKey, sign } = ed25519SignerFromSeed(new Uint8Array(32).fill(seedByte))
  const key = namedKey(name, ed25519KeyType, publicKey)
  return { signer: { name, keyId: key.keyId, sign }, verifier: textVerifier(key, nodeSignatureCheck) }
}

const { signer, verifier } = keyPair(origin, 1)

const act: OwnAct = {
  id: '01893f9c-3488-7000-8000-000000000001',
  action: 'dendrolog.token.made',
  actorId: 'token:admin',
  resource: 'token:billing',
  occurredAt: '2026-01-02T03:04:05.000006Z',
  detail: { role: 'writer', scopes: ['entries:submit'], '10': 0.5, nested: { a: null } },
}

/** As the API gives it, with other members beside. */
function entryOf(act: OwnAct, by: NoteSigner = signer): OwnActEntry {
  const { id, action, actorId, resource, occurredAt } = act
  return { id, action, actorId, resource, occurredAt, payload: signOwnAct(act, by) }
}

function codeOf(entry: OwnActEntry, by: NoteVerifier = verifier): TlogErrorCode | undefined {
  try {
    checkOwnAct(entry, by)
    return undefined
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
}

test('an entry with the signature of its log is the act that was signed', () => {
  expect(checkOwnAct({ ...entryOf(act), ...{ sequenceNumber: 7, writer: 'x' } }, verifier)).toEqual(act)
})

test('the signed text is three lines: what it is, the hash of the act as RFC 8785 text, the log', () => {
  const jcsText =
    '{"action":"dendrolog.token.made","actorId":"token:admin","detail":{"10":0.5,"nested":{"a":null},"role":"writer",' +
    '"scopes":["entries:submit"]},"id":"01893f9c-3488-7000-8000-000000000001",' +
    '"occurredAt":"2026-01-02T03:04:05.000006Z","resource":"token:billing"}'
  const hash = createHash('sha256').update(jcsText).digest('base64')
  expect(formatOwnAct(origin, act)).toBe(`dendrolog/act/1\n${hash}\ntest.example/log\n`)
})

test.each<[string, Partial<OwnActEntry>]>([
  ['id', { id: '01893f9c-3488-7000-8000-000000000002' }],
  ['action', { action: 'dendrolog.token.revoked' }],
  ['actorId', { actorId: 'token:admim' }],
  ['resource', { resource: 'token:billing2' }],
  ['occurredAt', { occurredAt: '2026-01-02T03:04:05.000007Z' }],
  ['occurredAt, as null', { occurredAt: null }],
  ['action, without the prefix', { action: 'token.made' }],
])('another %s does not hold', (_, part) => {
  expect(codeOf({ ...entryOf(act), ...part })).toBe('act-mismatch')
})

test.each<[string, Record<string, unknown>]>([
  ['a member more', { extra: 1 }],
  ['another value', { role: 'admin' }],
  ['a value deeper down', { nested: { a: false } }],
  ['a signature that is no text', { signature: 1 }],
])('a payload with %s does not hold', (_, part) => {
  const entry = entryOf(act)
  expect(codeOf({ ...entry, payload: { ...(entry.payload as object), ...part } })).toBe('act-mismatch')
})

test('a payload that lacks a member, or is none, does not hold', () => {
  const payload = signOwnAct(act, signer)
  for (const name of Object.keys(payload)) {
    const rest = Object.fromEntries(Object.entries(payload).filter(([each]) => each !== name))
    expect(codeOf({ ...entryOf(act), payload: rest })).toBe('act-mismatch')
  }
  for (const none of [null, {}, [], 'text', 5]) expect(codeOf({ ...entryOf(act), payload: none })).toBe('act-mismatch')
})

test('every character of the signature that is changed is noticed', () => {
  const entry = entryOf(act)
  const { signature, ...detail } = entry.payload as Record<string, unknown> & { signature: string }
  for (let i = 0; i < signature.length; i++) {
    const changed = signature.slice(0, i) + (signature[i] === 'A' ? 'B' : 'A') + signature.slice(i + 1)
    expect(codeOf({ ...entry, payload: { ...detail, signature: changed } })).toBeDefined()
  }
})

test('the act of another log, and of another key of the same name, does not hold', () => {
  expect(codeOf(entryOf(act, keyPair('test.example/other', 1).signer))).toBe('unverified-note')
  expect(codeOf(entryOf(act, keyPair(origin, 2).signer))).toBe('unverified-note')
  const forger = { ...keyPair(origin, 2).signer, keyId: signer.keyId }
  expect(codeOf(entryOf(act, forger))).toBe('invalid-signature')
})

test('the signature of another origin by the same key does not hold', () => {
  const { signer: other } = keyPair('test.example/other', 1)
  const payload = signOwnAct(act, { ...other, name: origin, keyId: signer.keyId })
  expect(codeOf({ ...entryOf(act), payload })).toBeUndefined()
  const wrongOrigin = signOwnAct(act, other).signature.replaceAll('— test.example/other', `— ${origin}`)
  expect(codeOf({ ...entryOf(act), payload: { ...act.detail, signature: wrongOrigin } })).toBe('unverified-note')
})

test('no act has a text that is a checkpoint, also where the log has the name of the first line', () => {
  for (const name of [origin, 'dendrolog/act/1', '7']) {
    expect(() => parseCheckpoint(formatOwnAct(name, act))).toThrow(TlogError)
  }
})

test('only acts are signed, and none whose detail has a signature of its own', () => {
  expect(() => signOwnAct({ ...act, action: 'token.made' }, signer)).toThrow('its action')
  expect(() => signOwnAct({ ...act, detail: { signature: '' } }, signer)).toThrow('signature')
  expect(() => signOwnAct({ ...act, detail: { at: undefined } }, signer)).toThrow(TlogError)
})

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
const anyAct: fc.Arbitrary<OwnAct> = fc.record({
  id: fc.uuid(),
  action: text.map((kind) => `dendrolog.${kind}`),
  actorId: text,
  resource: text,
  occurredAt: fc.constant(act.occurredAt),
  detail: fc.dictionary(text, fc.jsonValue({ noUnicodeString: false })).map(withoutSignature),
})

function withoutSignature(detail: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(detail).filter(([name]) => name !== 'signature' && name !== '__proto__'))
}

test('every act holds as it was signed, also after its payload went through JSON, and as no other', () => {
  fc.assert(
    fc.property(anyAct, anyAct, (a, b) => {
      const entry = entryOf(a)
      const stored = JSON.parse(JSON.stringify(entry)) as OwnActEntry
      expect(formatOwnAct(origin, checkOwnAct(stored, verifier))).toBe(formatOwnAct(origin, a))
      fc.pre(formatOwnAct(origin, a) !== formatOwnAct(origin, b))
      const { signature } = entry.payload as { signature: string }
      expect(codeOf({ ...entryOf(b), payload: { ...b.detail, signature } })).toBe('act-mismatch')
    }),
    { numRuns: 60 },
  )
})
