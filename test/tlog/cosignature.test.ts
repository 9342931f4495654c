import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { checkMlDsa44, mlDsa44SignerFromSeed } from '../../src/ops/ml-dsa.ts'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8, formatHex, parseHex } from '../../tlog/bytes.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import {
  type CosigningKey,
  cosign,
  cosignatureTime,
  cosignatureVerifier,
  cosignSubtree,
} from '../../tlog/cosignature.ts'
import { formatSignatureLine, type NoteVerifier, openNote, parseSignatureLines, textVerifier } from '../../tlog/note.ts'
import { namedKey, parseVkey } from '../../tlog/note-key.ts'

type Signed = { name: string; time: number; messageHex: string; line: string }

type Vectors = {
  checkpoints: { treeSize: number; body: string; ed25519: Signed[]; mldsa44: Signed[]; cosigned: string }[]
  mldsa44Subtrees: { start: number; end: number; subtreeHashHex: string; messageHex: string }[]
  mustFail: { why: string; note: string; vkeys: string[] }[]
}

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), 'utf8')) as T
}

const vectors = read<Vectors>('checkpoint/cosignatures.json')
const { keys } = read<{ keys: { name: string; type: number; seedHex?: string; vkey: string }[] }>('note/keys.json')
const check = { ed25519: nodeSignatureCheck.ed25519, mlDsa44: checkMlDsa44 }

/** The key of a name and type, with what it signs kept in `messages`. */
function cosignerOf(name: string, type: number, messages: string[] = []): CosigningKey {
  const found = keys.find((key) => key.name === name && key.type === type)
  const seed = parseHex(found?.seedHex ?? '')
  const signer = type === 4 ? ed25519SignerFromSeed(seed) : mlDsa44SignerFromSeed(seed)
  const sign = (message: Uint8Array): Uint8Array => {
    messages.push(formatHex(message))
    return signer.sign(message)
  }
  return { key: namedKey(name, type, signer.publicKey), sign }
}

function verifierOf(vkey: string): NoteVerifier {
  const key = parseVkey(vkey)
  return key.type === 1 ? textVerifier(key, nodeSignatureCheck) : cosignatureVerifier(key, check)
}

const verifiers = keys.filter(({ type }) => type === 1 || type === 4 || type === 6).map(({ vkey }) => verifierOf(vkey))

describe.each(vectors.checkpoints)('the checkpoint of $treeSize entries', ({ body, ed25519, mldsa44, cosigned }) => {
  test('is cosigned with Ed25519 by the same line', () => {
    for (const { name, time, messageHex, line } of ed25519) {
      const messages: string[] = []
      expect(formatSignatureLine(cosign(cosignerOf(name, 4, messages), body, time))).toBe(line)
      expect(messages).toEqual([messageHex])
    }
  })

  test('is cosigned with ML-DSA-44 over the same bytes', () => {
    for (const { name, time, messageHex } of mldsa44) {
      const messages: string[] = []
      const cosigner = cosignerOf(name, 6, messages)
      const made = cosign(cosigner, body, time)
      expect(messages).toEqual([messageHex])
      expect(cosignatureVerifier(cosigner.key, check).verify(encodeUtf8(body), made.signature)).toBe(true)
      expect(cosignatureTime(made)).toBe(time)
    }
  })

  test('has cosignatures that hold, and not one bit of them or of the text could be another', () => {
    const opened = openNote(encodeUtf8(cosigned), verifiers)
    expect(opened.unverified).toEqual([])
    const lines = [...ed25519, ...mldsa44].map(({ line }) => line)
    for (const [i, signature] of lines.flatMap(parseSignatureLines).entries()) {
      const verifier = verifiers.find(({ name, keyId }) => name === signature.name && keyId === signature.keyId)
      expect(verifier?.verify(encodeUtf8(body), signature.signature)).toBe(true)
      for (const at of [0, 7, 8, 40, signature.signature.length - 1]) {
        const other = signature.signature.slice()
        other[at] = (other[at] ?? 0) ^ 1
        expect(verifier?.verify(encodeUtf8(body), other), `line ${i}, byte ${at}`).toBe(false)
      }
      expect(verifier?.verify(encodeUtf8(body.replace('log.', 'log,')), signature.signature)).toBe(false)
      expect(verifier?.verify(encodeUtf8(body), signature.signature.subarray(0, -1))).toBe(false)
      expect(verifier?.verify(encodeUtf8('no checkpoint\n'), signature.signature)).toBe(false)
    }
  })
})

test.each(vectors.mldsa44Subtrees)('leaves $start to $end are cosigned as part of a tree', (vector) => {
  const { start, end, subtreeHashHex, messageHex } = vector
  const messages: string[] = []
  const made = cosignSubtree(cosignerOf('witness.example/pq', 6, messages), {
    ...{ origin: 'log.example.com/tlog', start, end, hash: parseHex(subtreeHashHex) },
  })
  expect(messages).toEqual([messageHex])
  expect(cosignatureTime(made)).toBe(0)
})

describe('a cosignature that must not hold', () => {
  test.each(vectors.mustFail)('$why', ({ why, note, vkeys }) => {
    const open = () => openNote(encodeUtf8(note), vkeys.map(verifierOf))
    if (!why.includes('NOT detectable')) {
      expect(open).toThrow(expect.objectContaining({ code: 'invalid-signature' }))
      return
    }
    const time = Math.max(...open().verified.map((signature) => cosignatureTime(signature) ?? 0))
    expect(time).toBeGreaterThan(1e12)
  })
})

test('cosigners sign no text that is not a checkpoint, at no time that is none, with no key of another kind', () => {
  const cosigner = cosignerOf('witness.example/w1', 4)
  const body = vectors.checkpoints[2]?.body ?? ''
  expect(parseCheckpoint(body).size).toBe(5)
  const cases: [CosigningKey, string, number, string][] = [
    [cosigner, 'a\nb\n', 1, 'malformed-checkpoint'],
    [cosigner, body, 0, 'out-of-range'],
    [cosigner, body, 1.5, 'out-of-range'],
    [cosigner, body, 2 ** 53, 'out-of-range'],
    [{ ...cosigner, key: namedKey('log.example', 1, cosigner.key.publicKey) }, body, 1, 'malformed-key'],
    [
      cosignerOf('witness.example/pq', 6),
      `${'o'.repeat(256)}${body.slice(body.indexOf('\n'))}`,
      1,
      'malformed-checkpoint',
    ],
  ]
  for (const [key, text, time, code] of cases) {
    expect(() => cosign(key, text, time)).toThrow(expect.objectContaining({ code }))
  }
  expect(() => cosignatureVerifier(cosignerOf('witness.example/pq', 6).key, { ed25519: check.ed25519 })).toThrow(
    expect.objectContaining({ code: 'malformed-key' }),
  )
})
