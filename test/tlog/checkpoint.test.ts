import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { decodeUtf8, formatHex, parseBase64, parseHex } from '../../tlog/bytes.ts'
import { formatCheckpoint, openCheckpoint, parseCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { asHash, emptyRoot } from '../../tlog/hash.ts'
import { signNote, textVerifier } from '../../tlog/note.ts'
import { namedKey } from '../../tlog/note-key.ts'

type ValidBody = { body: string; origin: string; size: string; rootHex: string; extensions: string[]; why?: string }

function readVector(path: string): string {
  return readFileSync(new URL(`../vectors/checkpoint/${path}`, import.meta.url), 'utf8')
}

const vectors = JSON.parse(readVector('checkpoint-bodies.json')) as {
  valid: ValidBody[]
  invalid: { why: string; bodyBase64: string }[]
}
const example = Buffer.from(readVector('example-checkpoint.txt'))
const seed = Uint8Array.from({ length: 32 }, (_, i) => i)
const origin = 'log.example.com/tlog'
const { publicKey, sign } = ed25519SignerFromSeed(seed)
const key = namedKey(origin, 1, publicKey)
const verifier = textVerifier(key, nodeSignatureCheck)
const signer = { name: origin, keyId: key.keyId, sign }
const root = asHash(new Uint8Array(32).fill(7))

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
  return 'no error'
}

describe('valid bodies', () => {
  const fitting = vectors.valid.filter(({ size }) => Number.isSafeInteger(Number(size)))

  test('all but the one beyond 2^53-1 are read here', () => {
    expect([vectors.valid.length, fitting.length]).toEqual([7, 6])
  })

  test.each(fitting)('$origin $size', (vector) => {
    const parsed = parseCheckpoint(vector.body)
    expect({ ...parsed, size: String(parsed.size), root: formatHex(parsed.root) }).toEqual({
      origin: vector.origin,
      size: vector.size,
      root: vector.rootHex,
      extensions: vector.extensions,
    })
    expect(formatCheckpoint(parsed, parsed.extensions)).toBe(vector.body)
  })
})

test.each(vectors.invalid)('a body is refused: $why', ({ bodyBase64 }) => {
  expect(codeOf(() => parseCheckpoint(decodeUtf8(parseBase64(bodyBase64))))).toBe('malformed-checkpoint')
})

test('2^53-1 is the largest size', () => {
  const body = (size: string) => `log.example\n${size}\nGqaNMHSQWlgfhMu9D3U3lJBP2ARRvEwT5p2aU7xZUCw=\n`
  expect(parseCheckpoint(body('9007199254740991')).size).toBe(Number.MAX_SAFE_INTEGER)
  for (const size of ['9007199254740992', '9007199254740993', '9223372036854775807', '1e3', '', '-0', '٣']) {
    expect(codeOf(() => parseCheckpoint(body(size)))).toBe('malformed-checkpoint')
  }
})

test('an origin or extension that is not one line is not written', () => {
  for (const bad of ['', 'a\nb', 'a\r', '\n']) {
    expect(codeOf(() => formatCheckpoint({ origin: bad, size: asTreeSize(1), root }))).toBe('malformed-checkpoint')
    expect(codeOf(() => formatCheckpoint({ origin, size: asTreeSize(1), root }, [bad]))).toBe('malformed-checkpoint')
  }
})

describe('opening', () => {
  test('a cosigned checkpoint opens with the key of its log', () => {
    const { checkpoint, note } = openCheckpoint(example, origin, [verifier])
    expect(checkpoint.size).toBe(300)
    expect(formatHex(checkpoint.root)).toBe('aebb027d5c3dd08871ee52577a61fc83122d0d14352791943639bd4c12d36943')
    expect(note.verified.map(({ name }) => name)).toEqual([origin])
    expect(note.unverified.map(({ name }) => name)).toEqual(['witness.example/w1', 'witness.example/w2'])
  })

  test('a checkpoint of another origin is refused, whoever signed it', () => {
    expect(codeOf(() => openCheckpoint(example, 'log.example.com/other', [verifier]))).toBe('origin-mismatch')
  })

  test('the signature is checked before the body', () => {
    const signed = signNote('not a checkpoint\n', [signer])
    expect(codeOf(() => openCheckpoint(signed, origin, [verifier]))).toBe('malformed-checkpoint')
    expect(codeOf(() => openCheckpoint(signed, origin, []))).toBe('unverified-note')
    const changed = Uint8Array.from(signed)
    changed[0] = 0x4e
    expect(codeOf(() => openCheckpoint(changed, origin, [verifier]))).toBe('invalid-signature')
  })

  test('size 0 has the root of nothing and no other', () => {
    const size = asTreeSize(0)
    const empty = signNote(formatCheckpoint({ origin, size, root: emptyRoot }), [signer])
    expect(openCheckpoint(empty, origin, [verifier]).checkpoint.size).toBe(0)
    const wrong = signNote(formatCheckpoint({ origin, size, root }), [signer])
    expect(codeOf(() => openCheckpoint(wrong, origin, [verifier]))).toBe('root-mismatch')
  })

  test('the worked example is signed again byte for byte', () => {
    const five = {
      origin,
      size: asTreeSize(5),
      root: asHash(parseHex('1aa68d3074905a581f84cbbd0f753794904fd80451bc4c13e69d9a53bc59502c')),
    }
    expect(decodeUtf8(signNote(formatCheckpoint(five), [signer]))).toBe(
      'log.example.com/tlog\n5\nGqaNMHSQWlgfhMu9D3U3lJBP2ARRvEwT5p2aU7xZUCw=\n\n' +
        '\u2014 log.example.com/tlog gQuu9+lIhhTSBHEoiDvNjwdx1EggAkR/+0TJPN9JrQNf0j77PTMY0jS2uIHC+DhMJAcOT0uO6qrgBMiKZ3lzTPb7WAQ=\n',
    )
  })
})

const line = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !/[\u0000-\u001f]/.test(text))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('a checkpoint that was formatted parses to itself', () => {
  fc.assert(
    fc.property(line, fc.maxSafeNat(), hash, fc.array(line, { maxLength: 3 }), (name, size, bytes, extensions) => {
      const checkpoint = { origin: name, size: asTreeSize(size), root: asHash(bytes) }
      expect(parseCheckpoint(formatCheckpoint(checkpoint, extensions))).toEqual({ ...checkpoint, extensions })
    }),
  )
})

test('a mutated body that still parses formats to itself', () => {
  const body = fc.constantFrom(...vectors.valid.map((vector) => vector.body))
  fc.assert(
    fc.property(
      body,
      fc.nat(80),
      fc.string({ maxLength: 2, unit: fc.constantFrom(...'\n 0=+5Aé') }),
      (text, at, insert) => {
        const mutated = text.slice(0, at) + insert + text.slice(at + 1)
        try {
          const parsed = parseCheckpoint(mutated)
          expect(formatCheckpoint(parsed, parsed.extensions)).toBe(mutated)
        } catch (error) {
          if (!(error instanceof TlogError)) throw error
        }
      },
    ),
    { numRuns: 500 },
  )
})
