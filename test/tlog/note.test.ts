import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { decodeUtf8, encodeUtf8, parseBase64 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import {
  formatNote,
  mergeSignatures,
  type NoteSigner,
  type NoteVerifier,
  noteSignaturesMax,
  openNote,
  parseNote,
  parseSignatureLines,
  signNote,
  textVerifier,
} from '../../tlog/note.ts'
import { formatKeyId, isKeyName, namedKey, parseSkey, parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { sthVerifier } from '../../tlog/sth.ts'

type ValidNote = { why: string; note: string; text: string; vkeys: string[]; verified: string[]; skey?: string }
type InvalidNote = { why: string; noteBase64: string; vkeys: string[]; outcome: string }

const vectors = JSON.parse(readFileSync(new URL('../vectors/note/signed-notes.json', import.meta.url), 'utf8')) as {
  valid: ValidNote[]
  invalid: InvalidNote[]
}

const codeOfOutcome: Record<string, string> = {
  malformed: 'malformed-note',
  unverified: 'unverified-note',
  'invalid-signature': 'invalid-signature',
}

function verifierOf(vkey: string): NoteVerifier {
  const key = parseVkey(vkey)
  if (key.type === 0x05) return sthVerifier(key.name, key.publicKey, nodeSignatureCheck)
  if (key.type === 0x04) return cosignatureVerifier(key)
  return textVerifier(key, nodeSignatureCheck)
}

// The Ed25519 cosignature, type 0x04: eight bytes of seconds, then 64 of signature over a header and the text.
function cosignatureVerifier({ name, keyId, publicKey }: VerifierKey): NoteVerifier {
  const verify = (text: Uint8Array, signature: Uint8Array) => {
    const seconds = new DataView(signature.buffer, signature.byteOffset).getBigUint64(0)
    const message = encodeUtf8(`cosignature/v1\ntime ${seconds}\n${decodeUtf8(text)}`)
    return nodeSignatureCheck.ed25519(publicKey, message, signature.subarray(8))
  }
  return { name, keyId, verify }
}

function keyPair(name: string, fill: number): { signer: NoteSigner; verifier: NoteVerifier } {
  const { publicKey, sign } = ed25519SignerFromSeed(new Uint8Array(32).fill(fill))
  const key = namedKey(name, 1, publicKey)
  return { signer: { name, keyId: key.keyId, sign }, verifier: textVerifier(key, nodeSignatureCheck) }
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
  return 'no error'
}

const log = keyPair('log.example', 1)
const witness = keyPair('witness.example', 2)
const text = 'log.example\n'

describe('valid notes', () => {
  test.each(vectors.valid)('$why', (vector) => {
    const bytes = encodeUtf8(vector.note)
    const opened = openNote(bytes, vector.vkeys.map(verifierOf))
    expect(opened.text).toBe(vector.text)
    expect(opened.verified.map(({ name, keyId }) => `${name}+${formatKeyId(keyId)}`)).toEqual(vector.verified)
    expect(formatNote(parseNote(bytes))).toEqual(bytes)
  })

  test('the signer of a published example makes its signature again', () => {
    const example = vectors.valid.find((vector) => vector.skey !== undefined)
    const { name, keyId, seed } = parseSkey(example?.skey ?? '', (bytes) => ed25519SignerFromSeed(bytes).publicKey)
    const signed = signNote(example?.text ?? '', [{ name, keyId, sign: ed25519SignerFromSeed(seed).sign }])
    expect(decodeUtf8(signed)).toBe(example?.note)
  })
})

test.each(vectors.invalid)('a note is refused, $outcome: $why', (vector) => {
  const run = () => openNote(parseBase64(vector.noteBase64), vector.vkeys.map(verifierOf))
  expect(codeOf(run)).toBe(codeOfOutcome[vector.outcome])
})

test('a note without verifiers is unverified', () => {
  expect(codeOf(() => openNote(signNote(text, [log.signer]), []))).toBe('unverified-note')
})

test('two verifiers of one name and key ID are refused', () => {
  const run = () => openNote(signNote(text, [log.signer]), [log.verifier, { ...log.verifier, verify: () => true }])
  expect(codeOf(run)).toBe('malformed-key')
})

test('unknown signatures are kept once, unchecked', () => {
  const unknown = { name: 'u', keyId: 7, signature: Uint8Array.of(1) }
  const other = { ...unknown, signature: Uint8Array.of(2) }
  const { signatures } = parseNote(signNote(text, [log.signer]))
  const bytes = formatNote({ text, signatures: [unknown, ...signatures, unknown, other] })
  expect(openNote(bytes, [log.verifier]).unverified).toEqual([unknown, other])
})

test('100 signatures are opened and 101 are neither written nor read', () => {
  const unknown = Array.from({ length: noteSignaturesMax }, (_, keyId) => ({
    name: 'u',
    keyId,
    signature: Uint8Array.of(1),
  }))
  const own = parseNote(signNote(text, [log.signer])).signatures
  const hundred = formatNote({ text, signatures: [...unknown.slice(1), ...own] })
  expect(openNote(hundred, [log.verifier]).unverified).toHaveLength(99)
  expect(codeOf(() => formatNote({ text, signatures: [...unknown, ...own] }))).toBe('malformed-note')
  const block = decodeUtf8(hundred).slice(text.length + 1)
  expect(codeOf(() => parseSignatureLines(`${block}${block.slice(0, block.indexOf('\n') + 1)}`))).toBe('malformed-note')
})

test('a note of more than a million bytes is refused', () => {
  expect(codeOf(() => parseNote(new Uint8Array(1_000_001).fill(0x0a)))).toBe('malformed-note')
  expect(codeOf(() => signNote(`${'a'.repeat(1_000_000)}\n`, [log.signer]))).toBe('malformed-note')
})

test.each(['', 'a', 'a\r\n', 'a\tb\n', '\0\n', '\ud800\n'])('text that no note can have is not signed: %j', (bad) => {
  expect(codeOf(() => signNote(bad, [log.signer]))).toBe('malformed-note')
})

test('nothing is written without a signature, with an empty one, a bad name or a bad key ID', () => {
  const good = { name: 'a', keyId: 1, signature: Uint8Array.of(1) }
  expect(codeOf(() => formatNote({ text, signatures: [] }))).toBe('malformed-note')
  for (const bad of [
    { name: 'a b' },
    { keyId: -1 },
    { keyId: 2 ** 32 },
    { keyId: 0.5 },
    { signature: new Uint8Array(0) },
  ]) {
    expect(codeOf(() => formatNote({ text, signatures: [{ ...good, ...bad }] }))).toBe('malformed-note')
  }
})

test('a byte order mark is part of the text', () => {
  const opened = openNote(signNote('\ufeffa\n', [log.signer]), [log.verifier])
  expect(opened.text).toBe('\ufeffa\n')
})

describe('merging', () => {
  const own = parseNote(signNote(text, [log.signer]))
  const cosigned = parseNote(signNote(text, [witness.signer])).signatures
  const verifiers = [log.verifier, witness.verifier]

  test('adds a signature that holds, after the own ones', () => {
    const merged = mergeSignatures(own, cosigned, verifiers)
    expect(merged.signatures).toEqual([...own.signatures, ...cosigned])
    expect(openNote(formatNote(merged), verifiers).verified).toHaveLength(2)
  })

  test('drops unknown signers, repetitions and signatures that do not hold', () => {
    const unknown = { name: 'u', keyId: 7, signature: Uint8Array.of(1) }
    const failing = cosigned.map((line) => ({ ...line, signature: new Uint8Array(64) }))
    const merged = mergeSignatures(own, [unknown, ...failing, ...cosigned, ...cosigned, ...own.signatures], verifiers)
    expect(merged.signatures).toEqual([...own.signatures, ...cosigned])
  })

  test('replaces a failing own line of a known key and keeps own lines of unknown keys', () => {
    const unknown = { name: 'u', keyId: 7, signature: Uint8Array.of(1) }
    const failing = cosigned.map((line) => ({ ...line, signature: new Uint8Array(64) }))
    const poisoned = { text, signatures: [unknown, ...failing, ...own.signatures] }
    const merged = mergeSignatures(poisoned, cosigned, verifiers)
    expect(merged.signatures).toEqual([unknown, ...own.signatures, ...cosigned])
  })
})

const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter(isKeyName)
const keyId = fc.integer({ min: 0, max: 0xffffffff })
const signature = fc.record({ name, keyId, signature: fc.uint8Array({ minLength: 1, maxLength: 80 }) })
const lines = fc.array(fc.constantFrom('', 'a', '\u2014 b AAAAAAA=', 'Ω', '\u007f\u0085\u2028', '😀'), { minLength: 1 })

test('a note that was formatted parses to itself', () => {
  fc.assert(
    fc.property(lines, fc.array(signature, { minLength: 1, maxLength: 5 }), (texts, signatures) => {
      const note = { text: `${texts.join('\n')}\n`, signatures }
      expect(parseNote(formatNote(note))).toEqual(note)
    }),
  )
})

test('bytes that parse format to themselves', () => {
  const mutation = fc.tuple(fc.constantFrom(...vectors.valid), fc.nat(400), fc.uint8Array({ maxLength: 3 }))
  fc.assert(
    fc.property(mutation, ([vector, at, insert]) => {
      const bytes = encodeUtf8(vector.note)
      const mutated = new Uint8Array([...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + 1)])
      try {
        expect(formatNote(parseNote(mutated))).toEqual(mutated)
      } catch (error) {
        if (!(error instanceof TlogError)) throw error
      }
    }),
    { numRuns: 300 },
  )
})

test('whatever byte of a signed note changes, the note is refused', () => {
  const bytes = signNote('log.example\n5\nroot\n', [log.signer])
  for (let i = 0; i < bytes.length; i++) {
    const changed = Uint8Array.from(bytes)
    changed[i] = (changed[i] as number) ^ 1
    expect(codeOf(() => openNote(changed, [log.verifier]))).not.toBe('no error')
  }
})
