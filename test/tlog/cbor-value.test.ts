import { readFileSync } from 'node:fs'
import { Encoder } from 'cbor-x'
import { describe, expect, test } from 'vitest'
import { formatHex, parseHex } from '../../tlog/bytes.ts'
import { type CborMap, CborTag, type CborValue, decodeCbor, encodeCbor } from '../../tlog/cbor-value.ts'

type Vectors = {
  integers: { value: number; hex: string }[]
  mapOrder: { keys: (number | string)[]; sortedHex: string[] }
  nonDeterministic: { why: string; hex: string }[]
}
const path = new URL('../vectors/cose/cbor-deterministic.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors

test.each(vectors.integers)('$value is $hex', ({ value, hex }) => {
  expect(formatHex(encodeCbor(value))).toBe(hex)
  expect(decodeCbor(parseHex(hex))).toBe(value)
})

test('keys are in the order of their encodings', () => {
  const { keys, sortedHex } = vectors.mapOrder
  const map: CborMap = new Map(keys.map((key) => [key, 0]))
  const members = sortedHex.map((hex) => `${hex}00`).join('')
  expect(formatHex(encodeCbor(map))).toBe(`a${keys.length}${members}`)
})

describe('refused', () => {
  // The order of keys is the writer's: what others signed is read as it is.
  test.each(vectors.nonDeterministic.filter(({ why }) => !why.includes('out of order')))('$why', ({ hex }) => {
    expect(() => decodeCbor(parseHex(hex))).toThrow('CBOR')
  })

  test.each([
    ['nothing', ''],
    ['half a number', 'fa3f800000'],
    ['undefined', 'f7'],
    ['a key that is bytes', 'a14100f6'],
    ['text that is not UTF-8', '61ff'],
    ['an array longer than there is', '9b001fffffffffffff'],
    ['a string longer than there is', '5affffffff00'],
    ['2^53', '1b0020000000000000'],
    ['nested too deep', `${'81'.repeat(40)}00`],
  ])('%s', (_, hex) => {
    expect(() => decodeCbor(parseHex(hex))).toThrow('CBOR')
  })

  test('any beginning of something that is whole', () => {
    const whole = encodeCbor(new CborTag(18, [Uint8Array.of(1, 2), new Map([[-1, ['text', null, true]]]), 70_000]))
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeCbor(whole.subarray(0, length)), `${length} bytes`).toThrow('CBOR')
    }
  })
})

test('what it writes is what cbor-x reads, and the other way round', () => {
  const others = new Encoder({ mapsAsObjects: false, useRecords: false, tagUint8Array: false })
  const value: CborValue = new Map<number | string, CborValue>([
    [1, [0, -1, 255, 256, 65_536, -65_537, 4_294_967_295]],
    ['text', 'Büchse · 树'],
    [-2, new Map([['inner', [true, false, null, new Uint8Array(300).fill(7)]]])],
  ])
  expect(decodeCbor(others.encode(others.decode(encodeCbor(value))))).toEqual(value)
  expect(decodeCbor(others.encode(value))).toEqual(value)
})
