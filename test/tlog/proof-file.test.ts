import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8, formatHex, parseHex } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkProofFile, formatProofFile, leafHashOfExtra, parseProofFile } from '../../tlog/proof-file.ts'

type Valid = { index: number; treeSize: number; leafHashHex: string; extraHex: string | null; file: string }
const vectors = JSON.parse(readVector('tlog-proof.json')) as {
  logVkey: string
  valid: Valid[]
  invalid: { why: string; file: string }[]
}
const verifier = textVerifier(parseVkey(vectors.logVkey), nodeSignatureCheck)

function readVector(path: string): string {
  return readFileSync(new URL(`../vectors/checkpoint/${path}`, import.meta.url), 'utf8')
}

test.each(vectors.valid)(
  'proof of leaf $index in $treeSize holds',
  ({ index, treeSize, leafHashHex, extraHex, file }) => {
    const proof = parseProofFile(encodeUtf8(file))
    expect([proof.index, formatHex(proof.extra)]).toEqual([index, extraHex ?? ''])
    expect(checkProofFile(proof, parseHex(leafHashHex), verifier).size).toBe(treeSize)
    // Without data there is no line.
    expect(formatProofFile(proof)).toBe(file.replace('extra \n', ''))
  },
)

test('the example file is one of them', () => {
  expect(vectors.valid.map(({ file }) => file)).toContain(readVector('example.tlog-proof'))
})

test.each(vectors.invalid)('a file is refused: $why', ({ file }) => {
  const leaf = parseHex(vectors.valid.find(({ index }) => index === 4)?.leafHashHex ?? '')
  expect(() => checkProofFile(parseProofFile(encodeUtf8(file)), leaf, verifier)).toThrow(TlogError)
})

test.each(vectors.valid)(
  'each changed hash of the proof of leaf $index, and another leaf, are refused',
  ({ leafHashHex, file }) => {
    const proof = parseProofFile(encodeUtf8(file))
    const leaf = parseHex(leafHashHex)
    proof.hashes.forEach((_, i) => {
      const hashes = proof.hashes.map((hash, j) => (i === j ? flip(hash) : hash))
      expect(() => checkProofFile({ ...proof, hashes }, leaf, verifier)).toThrow('got root')
    })
    expect(() => checkProofFile(proof, flip(leaf as Hash), verifier)).toThrow(TlogError)
  },
)

function flip(hash: Hash): Hash {
  const flipped = Uint8Array.from(hash)
  flipped[31] = (flipped[31] ?? 0) ^ 1
  return flipped as Hash
}

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }) as fc.Arbitrary<Hash>
const proofs = fc.record({
  index: fc.maxSafeNat(),
  hashes: fc.array(hash, { maxLength: 63 }),
  extra: fc.uint8Array({ maxLength: 100 }),
  checkpoint: fc.constant('log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log AAAAAAA=\n'),
})

test('what is formatted is parsed to the same, and what is parsed was formatted so', () => {
  fc.assert(
    fc.property(proofs, (proof) => {
      const text = formatProofFile(proof)
      expect(parseProofFile(encodeUtf8(text))).toEqual(proof)
      expect(formatProofFile(parseProofFile(encodeUtf8(text)))).toBe(text)
      expect(leafHashOfExtra(proof) !== undefined).toBe(proof.extra.length === 32)
    }),
    { numRuns: 50 },
  )
})

test('whatever bytes come, they are parsed or refused by its code', () => {
  const file = vectors.valid[2]?.file ?? ''
  const mutated = fc.tuple(fc.nat(file.length), fc.string({ maxLength: 3 })).map(([at, text]) => {
    return file.slice(0, at) + text + file.slice(at + text.length)
  })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.string()), (text) => {
      try {
        const proof = parseProofFile(encodeUtf8(text))
        expect(formatProofFile(proof)).toBe(text.replace('\nextra \n', '\n'))
      } catch (error) {
        expect((error as TlogError).code).toBe('malformed-proof-file')
      }
    }),
    { numRuns: 300 },
  )
})
