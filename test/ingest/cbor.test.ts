import { Encoder } from 'cbor-x'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CborToJson } from '../../src/ingest/cbor.ts'
import { TlogError } from '../../tlog/errors.ts'

const cbor = new CborToJson()
const encoder = new Encoder({ useRecords: false, tagUint8Array: false })

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

/** The JSON text of an item, or why it has none. */
function read(bytes: Uint8Array): string {
  try {
    const end = cbor.read(bytes, 0, bytes.length)
    const json = Buffer.from(cbor.json()).toString('utf8')
    return end === bytes.length ? json : `${json} and ${bytes.length - end} bytes`
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    return error.pointer === undefined ? error.code : `${error.code} ${error.pointer}`
  }
}

// RFC 8949 appendix A, what of it JSON has too; and other spellings of the same.
const same: readonly (readonly [string, string])[] = [
  ['00', '0'],
  ['17', '23'],
  ['1818', '24'],
  ['1903e8', '1000'],
  ['1a000f4240', '1000000'],
  ['1b000000e8d4a51000', '1000000000000'],
  ['1b001fffffffffffff', '9007199254740991'],
  ['3b001ffffffffffffe', '-9007199254740991'],
  ['20', '-1'],
  ['3903e7', '-1000'],
  ['1800', '0'],
  ['1b0000000000000001', '1'],
  ['f90000', '0'],
  ['f98000', '0'],
  ['f93c00', '1'],
  ['fb3ff199999999999a', '1.1'],
  ['f97bff', '65504'],
  ['fa47c35000', '100000'],
  ['f90001', '5.960464477539063e-8'],
  ['f9c400', '-4'],
  ['fb7e37e43c8800759c', '1e+300'],
  ['fb4270000000000000', '1099511627776'],
  ['f4', 'false'],
  ['f5', 'true'],
  ['f6', 'null'],
  ['60', '""'],
  ['6449455446', '"IETF"'],
  ['62225c', '"\\"\\\\"'],
  ['62c3bc', '"ü"'],
  ['64f0908591', '"𐅑"'],
  ['63efbbbf', '"\ufeff"'],
  ['61 0a', '"\\n"'],
  ['61 00', '"\\u0000"'],
  ['80', '[]'],
  ['8301820203820405', '[1,[2,3],[4,5]]'],
  ['a0', '{}'],
  ['a26161016162820203', '{"a":1,"b":[2,3]}'],
  ['a161618202a0', '{"a":[2,{}]}'],
  ['b90001 6161 01', '{"a":1}'],
  ['7f657374726561646d696e67ff', '"streaming"'],
  ['7fff', '""'],
  ['9fff', '[]'],
  ['9f018202039f0405ffff', '[1,[2,3],[4,5]]'],
  ['bf61610161629f0203ffff', '{"a":1,"b":[2,3]}'],
  ['a2 6161 01 6161 02', '{"a":1,"a":2}'],
]

test.each(same)('%s is %s', (hex, json) => {
  expect(read(bytesOf(hex))).toBe(json)
})

const refused: readonly (readonly [string, string, string])[] = [
  ['an integer of 2^53', '1b0020000000000000', ''],
  ['the largest integer', '1bffffffffffffffff', ''],
  ['the least integer', '3bffffffffffffffff', ''],
  ['-2^53', '3b001fffffffffffff', ''],
  ['a big number', 'a16161c249010000000000000000', '/a'],
  ['infinity', 'a16161f97c00', '/a'],
  ['minus infinity in 8 bytes', 'fbfff0000000000000', ''],
  ['NaN', '82 01 f97e00', '/1'],
  ['NaN in 4 bytes', 'fa7fc00000', ''],
  ['undefined', 'a1 63612f7e f7', '/a~1~0'],
  ['simple value 16', 'f0', ''],
  ['simple value 255', 'f8ff', ''],
  ['a byte string', 'a1 6161 a1 6162 82 00 4401020304', '/a/b/1'],
  ['a byte string in pieces', '5f42010243030405ff', ''],
  ['a tag', 'c074323031332d30332d32315432303a30343a30305a', ''],
  ['the tag of CBOR itself', 'd9d9f7a0', ''],
  ['a tagged name', 'a1 c06161 01', ''],
  ['a name that is a number', 'a1 6161 a1 01 02', '/a'],
  ['a name that is a byte string', 'a1 4161 02', ''],
  ['a name that is a map', 'a1 a16161a0 02', ''],
  ['a text that is not UTF-8', 'a1 6161 62c328', '/a'],
  ['a character in two pieces', '7f 61c3 61bc ff', ''],
  ['a surrogate', '63eda080', ''],
]

test.each(refused)('%s is refused with its place', (_, hex, pointer) => {
  expect(read(bytesOf(hex))).toBe(`json-not-strict ${pointer}`)
})

test.each([
  ['nothing', ''],
  ['a head that is cut off', '19 01'],
  ['a text that is cut off', '62 61'],
  ['an array that is cut off', '82 01'],
  ['a map without its value', 'a1 6161'],
  ['an endless array', '9f 01'],
  ['an endless text', '7f 6161'],
  ['an array of 2^64-1', '9bffffffffffffffff'],
  ['a map of 2^63', 'bb8000000000000000'],
  ['a text of 2^64-1 bytes', '7bffffffffffffffff 61'],
  ['a reserved head', '1c'],
  ['a reserved simple value', 'fc'],
  ['a simple value in two bytes that one has', 'f818'],
  ['an integer without end', '1f'],
  ['a tag without end', 'df 00'],
  ['a tag of nothing', 'c0'],
  ['a break', 'ff'],
  ['a break for a value', '81 ff'],
  ['a break between name and value', 'bf 6161 ff'],
  ['bytes in a text', '7f 4161 ff'],
  ['pieces in pieces', '7f 7f 6161 ff ff'],
])('%s is malformed', (_, hex) => {
  expect(read(bytesOf(hex))).toBe('malformed-cbor')
})

test.each(['81', '9f', 'a1 60', 'bf 60', 'c0', 'a1'])(
  'a million times %s ends neither the stack nor the memory',
  (hex) => {
    const bytes = Buffer.alloc(1_000_000, bytesOf(hex))
    expect(read(bytes)).toBe('malformed-cbor')
  },
)

test('what becomes longer as JSON than a record may be is refused, and no room is made for it', () => {
  const bytes = Buffer.concat([bytesOf('9a000f4240'), Buffer.alloc(3_000_000, bytesOf('f90001'))])
  expect(read(bytes)).toBe('malformed-submission ')
})

test('every JSON value that a common encoder writes is that value', () => {
  const json = fc.jsonValue({ maxDepth: 5 }).filter((value) => !JSON.stringify(value).includes('__proto__'))
  fc.assert(
    fc.property(json, (value) => {
      expect(JSON.parse(read(new Uint8Array(encoder.encode(value))))).toEqual(JSON.parse(JSON.stringify(value)))
    }),
    { numRuns: 300 },
  )
})

test('of any bytes it says something', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = read(bytes)
      if (!/^(malformed|json-not-strict)/.test(text)) JSON.parse(text.replace(/ and \d+ bytes$/, ''))
    }),
    { numRuns: 3_000 },
  )
})
