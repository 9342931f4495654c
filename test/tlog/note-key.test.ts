import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ed25519SignerFromSeed } from '../../src/ops/signing.ts'
import { parseHex } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import {
  formatKeyId,
  formatSkey,
  formatVkey,
  isKeyName,
  namedKey,
  namedSeed,
  parseSkey,
  parseVkey,
} from '../../tlog/note-key.ts'

type KeyVector = {
  role: string
  name: string
  type: number
  keyIdHex: string
  seedHex?: string
  publicKeyHex?: string
  spkiHex?: string
  logIdHex?: string
  vkey?: string
  vkeyTransparencyDev?: string
  skey?: string
  asType1?: { keyIdHex: string; vkey: string }
}

function readVector<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), 'utf8')) as T
}

const { keys } = readVector<{ keys: KeyVector[] }>('note/keys.json')
const { invalidVkeys } = readVector<{ invalidVkeys: { why: string; vkey: string }[] }>('note/signed-notes.json')
const spkiHex = keys.find((key) => key.spkiHex !== undefined)?.spkiHex ?? ''
const publicKeyOf = (seed: Uint8Array) => ed25519SignerFromSeed(seed).publicKey

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
  return 'no error'
}

describe('the test keys', () => {
  test.each(keys)('$role: key ID and verifier key are the computed ones', (vector) => {
    const publicKey = parseHex(vector.publicKeyHex ?? vector.spkiHex ?? spkiHex)
    const key = namedKey(vector.name, vector.type, publicKey)
    expect(formatKeyId(key.keyId)).toBe(vector.keyIdHex)
    const vkey = vector.vkey ?? vector.vkeyTransparencyDev ?? ''
    expect(formatVkey(key)).toBe(vkey)
    expect(parseVkey(vkey)).toEqual(key)
  })

  test.each(keys.filter(({ type }) => type === 1 || type === 4))(
    '$role: the public key is that of the seed',
    (vector) => {
      const key = namedSeed(vector.name, vector.type === 1 ? 1 : 4, parseHex(vector.seedHex ?? ''), publicKeyOf)
      expect(formatKeyId(key.keyId)).toBe(vector.keyIdHex)
      expect(parseSkey(formatSkey(key), publicKeyOf)).toEqual(key)
      if (vector.skey !== undefined) expect(formatSkey(key)).toBe(vector.skey)
    },
  )

  test('one Ed25519 key has different IDs as note key and as cosigner', () => {
    const witness = keys.find((key) => key.asType1 !== undefined)
    const asNoteKey = parseVkey(witness?.asType1?.vkey ?? '')
    expect(formatKeyId(asNoteKey.keyId)).toBe(witness?.asType1?.keyIdHex)
    expect(asNoteKey.publicKey).toEqual(parseHex(witness?.publicKeyHex ?? ''))
  })

  test('a tree-head key has the same ID as log ID and as SPKI', () => {
    const vector = keys.find((key) => key.logIdHex !== undefined)
    const byLogId = namedKey(vector?.name ?? '', 5, parseHex(vector?.logIdHex ?? ''))
    expect(formatKeyId(byLogId.keyId)).toBe(vector?.keyIdHex)
    expect(parseVkey(formatVkey(byLogId))).toEqual(byLogId)
  })
})

test.each(invalidVkeys)('a verifier key is refused: $why', ({ vkey }) => {
  expect(codeOf(() => parseVkey(vkey))).toBe('malformed-key')
})

test.each([
  ['no separators', 'abc'],
  ['one separator', 'abc+00000000'],
  ['nothing', ''],
  ['an unnamed curve', `log.example+00000000+${Buffer.from([2, 0x30, 0x00]).toString('base64')}`],
])('a verifier key is refused: %s', (_, vkey) => {
  expect(codeOf(() => parseVkey(vkey))).toBe('malformed-key')
})

test('a signer key is read with its public key from outside', () => {
  const skey = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz'
  const key = parseSkey(skey, publicKeyOf)
  expect(formatSkey(key)).toBe(skey)
  expect(formatVkey(namedKey(key.name, key.type, publicKeyOf(key.seed)))).toBe(
    'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  )
})

test('a refused signer key is not quoted by the error', () => {
  const secret = 'YEKFALVFGyNhPJEMzD1QIDr'
  const texts = [
    `PeterNeumann+c74f20a3+A${secret}+Y7hfZx09iUvxdXHKDFz`,
    `PRIVATE+KEY+PeterNeumann+c74f20a3+A${secret}+Y7hfZx09iUvxdXHKDF`,
    `PRIVATE+KEY+PeterNeumann+c74f20a4+A${secret}+Y7hfZx09iUvxdXHKDFz`,
    `PRIVATE+KEY+PeterNeumann+c74f20a3+B${secret}+Y7hfZx09iUvxdXHKDFz`,
    `PRIVATE+KEY+PeterNeumann+A${secret}+Y7hfZx09iUvxdXHKDFz`,
  ]
  for (const text of texts) {
    const error = catchError(() => parseSkey(text, publicKeyOf))
    expect(error.code).toBe('malformed-key')
    expect(`${error.stack} ${String(error.cause)}`).not.toContain(secret)
  }
})

function catchError(run: () => unknown): TlogError {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return error
  }
  throw new Error('no TlogError')
}

test('a seed of 31 bytes is refused', () => {
  expect(codeOf(() => namedSeed('a', 1, new Uint8Array(31), publicKeyOf))).toBe('malformed-key')
})

test('names have no white space, plus, control characters or lone surrogates', () => {
  const spaces = '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000'
  for (const bad of ['', ...spaces, '+', '\0', '\u001b', '\ud800']) {
    expect(isKeyName(bad)).toBe(false)
    expect(isKeyName(`a${bad}b`)).toBe(bad === '')
    expect(codeOf(() => namedKey(`a${bad}`, 1, new Uint8Array(32)))).toBe(bad === '' ? 'no error' : 'malformed-key')
  }
  for (const good of ['log.example.com/tlog', 'exämple.com/ø', 'a\ufeffb', '😀', '\u007f', '\u200b']) {
    expect(isKeyName(good)).toBe(true)
  }
})

test('a verifier key that was formatted parses to itself', () => {
  const key = fc.tuple(
    fc.string({ unit: 'grapheme', minLength: 1 }).filter(isKeyName),
    fc.constantFrom(1, 4),
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
  )
  fc.assert(
    fc.property(key, ([name, type, publicKey]) => {
      const named = namedKey(name, type, publicKey)
      expect(parseVkey(formatVkey(named))).toEqual(named)
    }),
  )
})

test('a mutated verifier key that still parses formats to itself', () => {
  const valid = keys.flatMap((key) => (key.type === 6 ? [] : [key.vkey ?? key.vkeyTransparencyDev ?? '']))
  const mutation = fc.tuple(fc.constantFrom(...valid), fc.nat(200), fc.string({ minLength: 0, maxLength: 2 }))
  fc.assert(
    fc.property(mutation, ([text, at, insert]) => {
      const mutated = text.slice(0, at) + insert + text.slice(at + 1)
      try {
        expect(formatVkey(parseVkey(mutated))).toBe(mutated)
      } catch (error) {
        if (!(error instanceof TlogError)) throw error
      }
    }),
  )
})
