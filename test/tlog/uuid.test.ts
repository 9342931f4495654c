import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { compareBytes, formatHex, parseHex } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { foreignUuid, formatUuid, parseUuid, parseUuidV7, uuidUnixMs, uuidVersion } from '../../tlog/uuid.ts'

type ValidUuid = { why: string; uuid: string; unixMs: number; bytesHex: string }

const vectors = JSON.parse(readFileSync(new URL('../vectors/uuidv7/uuidv7.json', import.meta.url), 'utf8')) as {
  valid: ValidUuid[]
  notV7: { why: string; uuid: string }[]
  stringOrderEqualsTimeOrder: string[]
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

test.each(vectors.valid)('a UUIDv7 is read in any case and written in lower case: $why', (vector) => {
  const bytes = parseUuidV7(vector.uuid)
  expect(formatHex(bytes)).toBe(vector.bytesHex)
  expect(uuidUnixMs(bytes)).toBe(vector.unixMs)
  expect(formatUuid(parseUuidV7(vector.uuid.toUpperCase()))).toBe(vector.uuid)
})

test.each(vectors.notV7)('what is no UUIDv7 is refused: $why', ({ uuid }) => {
  expect(codeOf(() => parseUuidV7(uuid))).toBe('malformed-uuid')
})

test.each([
  '',
  'g17f22e2-79b0-7cc3-98c4-dc0c0c07398f',
  '017f22e279b0-7cc3-98c4-dc0c0c07398f-',
  '017f22e2-79b0-7cc3-98c4-dc0c0c07398f ',
  '０17f22e2-79b0-7cc3-98c4-dc0c0c07398f',
  '017f22e2_79b0_7cc3_98c4_dc0c0c07398f',
  '@17f22e2-79b0-7cc3-98c4-dc0c0c07398f',
  '\u001017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
])('what is no UUID is refused: %j', (text) => {
  expect(codeOf(() => parseUuid(text))).toBe('malformed-uuid')
})

test('bytes sort as the text and the time do', () => {
  const bytes = vectors.stringOrderEqualsTimeOrder.map(parseUuidV7)
  expect([...bytes].sort(compareBytes)).toEqual(bytes)
})

test('16 bytes format to text that parses to them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      expect(parseUuid(formatUuid(bytes))).toEqual(bytes)
    }),
  )
  expect(codeOf(() => formatUuid(new Uint8Array(15)))).toBe('malformed-uuid')
})

test('lower-case text that parses formats to itself', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.nat(36), fc.string({ maxLength: 1 }), (uuid, at, insert) => {
      const text = (uuid.slice(0, at) + insert + uuid.slice(at + 1)).toLowerCase()
      if (codeOf(() => parseUuid(text)) === 'no error') expect(formatUuid(parseUuid(text))).toBe(text)
    }),
  )
})

test('another version is refused by the name of what is wanted', () => {
  expect(() => parseUuidV7('017f22e2-79b0-4cc3-98c4-dc0c0c07398f')).toThrow('want a UUIDv7 (RFC 9562)')
})

test('the version is read where the variant is right', () => {
  expect(uuidVersion(parseUuid('017f22e2-79b0-4cc3-98c4-dc0c0c07398f'))).toBe(4)
  expect(uuidVersion(parseUuid('017f22e2-79b0-7cc3-18c4-dc0c0c07398f'))).toBe(-1)
})

test('a foreign id is 48 bits of time and the first 74 bits of its digest', () => {
  const ms = fc.integer({ min: 0, max: 2 ** 48 - 1 })
  const word = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(ms, word, word, fc.string({ unit: 'binary' }), (unixMs, writer, source, id) => {
      const digest = createHash('sha256').update(`dendrolog/id/1\0${writer}\0${source}\0${id}`).digest('hex')
      const bits = BigInt(`0x${digest}`) >> 182n
      const high = (BigInt(unixMs) << 16n) | 0x8000n | (bits >> 62n)
      const low = (2n << 62n) | (bits & ((1n << 62n) - 1n))
      const want = high.toString(16).padStart(16, '0') + low.toString(16).padStart(16, '0')
      const uuid = foreignUuid(unixMs, writer, source, id, nativeSha256)
      expect(formatHex(uuid)).toBe(want)
      expect([uuidVersion(uuid), uuidUnixMs(uuid)]).toEqual([8, unixMs])
    }),
  )
})

test('a known foreign id keeps its UUID', () => {
  const uuid = foreignUuid(1_700_000_000_000, 'token:writer', 'kafka:topic/3', 'order-1')
  expect(formatUuid(uuid)).toBe('018bcfe5-6800-8250-8d2b-a3a6b73d0b90')
  expect(codeOf(() => parseUuidV7(formatUuid(uuid)))).toBe('malformed-uuid')
})

test('writer, source and foreign id cannot flow into each other', () => {
  const ids = [
    foreignUuid(0, 'a', 'b', 'c'),
    foreignUuid(0, 'ab', '', 'c'),
    foreignUuid(0, 'a', '', 'bc'),
    foreignUuid(0, '', 'a', 'bc'),
  ]
  expect(new Set(ids.map(formatUuid)).size).toBe(ids.length)
  expect(codeOf(() => foreignUuid(0, 'a\0b', 'c', 'd'))).toBe('malformed-uuid')
  expect(codeOf(() => foreignUuid(0, 'a', 'b\0c', 'd'))).toBe('malformed-uuid')
  expect(codeOf(() => foreignUuid(0, 'a', 'b', '\ud800'))).toBe('malformed-uuid')
  expect(foreignUuid(0, 'a', 'b', 'c\0d')).toHaveLength(16)
})

test.each([-1, 0.5, 2 ** 48, Number.NaN])('a time that 48 bits cannot hold is refused: %d', (unixMs) => {
  expect(codeOf(() => foreignUuid(unixMs, 'a', 'b', 'c'))).toBe('out-of-range')
})

test('parsing gives fresh bytes each time', () => {
  const a = parseUuid('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')
  expect(parseUuid('00000000-0000-7000-8000-000000000000')).not.toBe(a)
  expect(a).toEqual(parseHex('017f22e279b07cc398c4dc0c0c07398f'))
})
