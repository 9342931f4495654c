import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chainText } from '../../tlog/chain.ts'
import { jcs } from '../../tlog/jcs.ts'
import { canonicalLengthMax, writeChainText, writeJcs } from '../../tlog/json-canonical.ts'
import { scan } from '../../tlog/json-scan.ts'
import { hasIndexNames, Tape } from '../../tlog/json-tape.ts'

const utf8 = new TextEncoder()
const tape = new Tape()

/** Writes into a buffer of exactly the announced length, between two guard bytes. */
function written(text: string, write: typeof writeJcs): string {
  const bytes = utf8.encode(`  ${text}  `)
  expect(scan(bytes, 2, bytes.length, tape)).toBe(bytes.length - 2)
  expect(tape.violation).toBeUndefined()
  const out = new Uint8Array(canonicalLengthMax(tape, 0) + 2).fill(0xaa)
  const end = write(tape, 0, out, 1)
  expect(end).toBeLessThan(out.length)
  expect(out.subarray(end).every((byte) => byte === 0xaa) && out[0] === 0xaa).toBe(true)
  return new TextDecoder('utf-8', { fatal: true }).decode(out.subarray(1, end))
}

/** RFC 8785 by its words: names as arrays of UTF-16 units, characters one by one. */
function slowJcs(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(slowJcs).join(',')}]`
  if (typeof value === 'string') return slowString(value)
  if (typeof value !== 'object' || value === null) return `${value}`
  const members = Object.entries(value).sort(([a], [b]) => compareUnits(a, b))
  return `{${members.map(([name, member]) => `${slowString(name)}:${slowJcs(member)}`).join(',')}}`
}

function compareUnits(a: string, b: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) return a.charCodeAt(i) - b.charCodeAt(i)
  }
  return a.length - b.length
}

const shortEscapes = new Map([...'"\\\b\t\n\f\r'].map((char, i) => [char, `\\${'"\\btnfr'.charAt(i)}`]))

function slowString(text: string): string {
  const chars = [...text].map((char) => {
    const long = `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
    return shortEscapes.get(char) ?? (char < ' ' ? long : char)
  })
  return `"${chars.join('')}"`
}

const char = fc.oneof(
  fc.constantFrom(
    ...('ab"\\/\n\b\u001f\u007f\u0080é€\ud7ff\ue000\uee00\ufffd\u{10000}\u{1f600}\u{10ffff}'.match(/./gsu) ?? []),
  ),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
)
const string = fc
  .array(char, { maxLength: 12 })
  .map((chars) => chars.join('').replaceAll('\0', ''))
  .filter((text) => text !== '__proto__')
const name = fc.oneof(
  string,
  fc.constantFrom(
    '10',
    '9',
    '0',
    '01',
    '-1',
    '4294967294',
    '4294967295',
    '42949672940',
    'abcdef',
    'abcdefg',
    'abcdeg',
    '',
  ),
)
const number = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, 1e20, 1e21, -1e20, 1e-6, 1e-7, 5e-324, 0.1, 123456789012345, 2 ** 53),
)
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    number,
    string,
    fc.array(tie('any'), { maxLength: 4 }),
    fc.uniqueArray(fc.tuple(name, tie('any')), { maxLength: 5, selector: ([key]) => key }),
  ),
})).any

/** Some spelling of a value: with white space or without, any characters escaped in either case. */
function spell(input: unknown, random: () => number): string {
  const gap = () => (random() < 0.9 ? '' : ' \n\t'.charAt(Math.floor(3 * random())))
  if (isMembers(input)) {
    const texts = input.map(
      ([key, member]) => `${gap()}${spellString(key, random)}${gap()}:${gap()}${spell(member, random)}${gap()}`,
    )
    return `{${texts.join(',') || gap()}}`
  }
  if (Array.isArray(input)) return `[${input.map((item) => gap() + spell(item, random) + gap()).join(',') || gap()}]`
  if (typeof input === 'string') return spellString(input, random)
  if (typeof input === 'number' && random() < 0.3) return input.toExponential()
  return Object.is(input, -0) ? '-0' : `${input}`
}

function spellString(text: string, random: () => number): string {
  const share = random() < 0.7 ? 0 : 0.3
  const chars = [...text].map((char) => {
    if (random() < share)
      return char
        .split('')
        .map((unit) => escapeUnit(unit, random))
        .join('')
    return char === '/' && random() < 0.5 ? '\\/' : JSON.stringify(char).slice(1, -1)
  })
  return `"${chars.join('')}"`
}

function escapeUnit(unit: string, random: () => number): string {
  const hex = unit.charCodeAt(0).toString(16).padStart(4, '0')
  return `\\u${random() < 0.5 ? hex : hex.toUpperCase()}`
}

function isMembers(input: unknown): input is [string, unknown][] {
  return (
    Array.isArray(input) &&
    input.length > 0 &&
    input.every((item) => Array.isArray(item) && item.length === 2 && typeof item[0] === 'string')
  )
}

/** mulberry32: the same spelling again for the same seed. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

function hasUniqueNames(input: unknown): boolean {
  if (isMembers(input)) {
    return (
      new Set(input.map(([key]) => key)).size === input.length && input.every(([, member]) => hasUniqueNames(member))
    )
  }
  return !Array.isArray(input) || input.every(hasUniqueNames)
}

describe('any value in any spelling', () => {
  test('has the canonical texts that its parsed value has', () => {
    let withIndexNames = 0
    fc.assert(
      fc.property(value, fc.integer(), (input, seed) => {
        fc.pre(hasUniqueNames(input))
        const text = spell(input, seeded(seed))
        const parsed: unknown = JSON.parse(text)
        const want = jcs(parsed)
        expect(slowJcs(parsed)).toBe(want)
        expect(written(text, writeJcs)).toBe(want)
        expect(written(text, writeChainText)).toBe(chainText(parsed))
        if (hasIndexNames(tape, 0)) withIndexNames++
        else expect(chainText(parsed)).toBe(want)
        expect(written(want, writeJcs)).toBe(want)
      }),
      { numRuns: 2000 },
    )
    expect(withIndexNames).toBeGreaterThan(100)
  })
})

test('names above U+FFFF come before those from U+E000', () => {
  const text = '{"\ufb33":6,"\u{1f600}":5,"\u20ac":4,"\u00f6":3,"\u0080":2,"1":1,"\\r":0,"\ud7ff":4.5}'
  const want = '{"\\r":0,"1":1,"\u0080":2,"\u00f6":3,"\u20ac":4,"\ud7ff":4.5,"\u{1f600}":5,"\ufb33":6}'
  expect(written(text, writeJcs)).toBe(want)
  expect(written(text.replace('\\r', 'a'), writeJcs)).toBe(jcs(JSON.parse(text.replace('\\r', 'a'))))
})

test.each([1, 2, 31, 32, 33, 34, 1000])('%i members in falling order are sorted', (count) => {
  const names = Array.from({ length: count }, (_, i) => `name${String(count - i).padStart(5, '0')}`)
  const text = `{${names.map((key) => `"${key}":[]`).join(',')}}`
  expect(written(text, writeJcs)).toBe(jcs(JSON.parse(text)))
})

test('objects of any names in any order are sorted', () => {
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 60, size: 'max' }), fc.integer(), (names, seed) => {
      const text = spell(
        names.map((key) => [key, 0]),
        seeded(seed),
      )
      expect(written(text, writeJcs)).toBe(jcs(JSON.parse(text)))
      expect(written(text, writeChainText)).toBe(chainText(JSON.parse(text)))
    }),
    { numRuns: 300 },
  )
})

test('a name that is the beginning of another comes first, whatever follows the quote', () => {
  const text = '{"ab!":1,"ab":2,"ab ":3,"abcdef ":4,"abcdef":5,"abcdef!":6,"a":7}'
  expect(written(text, writeJcs)).toBe('{"a":7,"ab":2,"ab ":3,"ab!":1,"abcdef":5,"abcdef ":4,"abcdef!":6}')
})

test('index names come first in the chain text, by number, at every level', () => {
  const text = '{"b":[{"10":0,"9":{"2":0,"\\u0031":1,"a":2}}],"4294967295":1,"4294967294":2,"02":3}'
  const want = '{"4294967294":2,"02":3,"4294967295":1,"b":[{"9":{"1":1,"2":0,"a":2},"10":0}]}'
  expect(written(text, writeChainText)).toBe(want)
  expect(hasIndexNames(tape, 0)).toBe(true)
})

describe('objects with hundreds of names', () => {
  const long = 'x'.repeat(301)
  const count = 300
  const mixed = ['\u0002', '\u0001', 'a', 'é', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}', '"', '\\', '']
  test.each<[string, (i: number) => string]>([
    ['that are array indexes', (i) => String((i * 7_919) % 4_294_967)],
    ['that begin alike', (i) => long.slice(0, i + 1)],
    ['that end unlike', (i) => `${long}${(i * 7_919) % 100_003}`],
    ['of characters whose UTF-8 has another order', (i) => `${mixed[i % 11]}${mixed[(i * 3) % 11]}${(i * 7) % 30}${i}`],
    [
      'of all lengths with control characters behind',
      (i) => `${'a'.repeat(i % 9)}${'\u0001'.repeat(i % 7)}${i % 60}${'\u0001'.repeat(i)}`,
    ],
  ])('%s are ordered by UTF-16 units, and indexes first in the chain text', (_, nameOf) => {
    const names = Array.from({ length: count }, (_, i) => nameOf(i)).reverse()
    const value = Object.fromEntries(names.map((name, i) => [name, i]))
    const plain = Object.keys(value).map((name) => `${JSON.stringify(name)}:${value[name]}`)
    const escaped = Object.keys(value).map((name) => `"${escapeAll(name)}":${value[name]}`)
    for (const text of [`{${plain.join(',')}}`, `{${escaped.join(',')}}`, `{${plain.toReversed().join(',')}}`]) {
      expect(written(text, writeJcs)).toBe(slowJcs(value))
      expect(written(text, writeChainText)).toBe(chainText(value))
    }
  })

  test('one of them twice is refused where it stands the second time', () => {
    const names = Array.from({ length: count }, (_, i) => `"${(i * 7_919) % 1_009}":0`)
    const bytes = utf8.encode(`{${[...names, '"\\u0030":1'].join(',')}}`)
    scan(bytes, 0, bytes.length, tape)
    expect(tape.violation).toEqual({ reason: 'duplicate member name', pointer: '/0' })
  })
})

function escapeAll(name: string): string {
  return Array.from({ length: name.length }, (_, i) => `\\u${name.charCodeAt(i).toString(16).padStart(4, '0')}`).join(
    '',
  )
}
