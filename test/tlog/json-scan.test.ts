import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { parseHex } from '../../tlog/bytes.ts'
import { survivesDouble } from '../../tlog/json-number.ts'
import { parseStrict, scan, skipSpace } from '../../tlog/json-scan.ts'
import { findMember, kindOf, none, Tape } from '../../tlog/json-tape.ts'

const utf8 = new TextEncoder()
const decode = (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
const tape = new Tape()

type Verdict = 'accepted' | 'malformed-json' | 'json-not-strict'

function verdict(bytes: Uint8Array): Verdict {
  try {
    parseStrict(bytes, tape)
    return 'accepted'
  } catch (error) {
    return (error as { code: Verdict }).code
  }
}

/** The slow way: JSON.parse for the grammar, then a walk over the text that keeps what JSON.parse throws away. */
function slowVerdict(bytes: Uint8Array, depthMax: number): Verdict {
  try {
    const text = decode(bytes)
    JSON.parse(text)
    return isStrict(text, depthMax) ? 'accepted' : 'json-not-strict'
  } catch {
    return 'malformed-json'
  }
}

function isStrict(text: string, depthMax: number): boolean {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g) ?? []
  const open: (Set<string> | undefined)[] = []
  for (const [i, token] of tokens.entries()) {
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : undefined)
    if (token === '}' || token === ']') open.pop()
    if (open.length > depthMax) return false
    if (/^[-0-9]/.test(token) && !survivesDouble(token)) return false
    if (!token.startsWith('"')) continue
    const string: string = JSON.parse(token)
    if (!string.isWellFormed() || string.includes('\0')) return false
    if (tokens[i + 1] !== ':') continue
    const names = open.at(-1) as Set<string>
    if (string === '__proto__' || names.has(string)) return false
    names.add(string)
  }
  return true
}

function refusal(text: string, depthMax?: number): { code: string; pointer: string | undefined } | undefined {
  try {
    parseStrict(utf8.encode(text), new Tape(depthMax))
    return undefined
  } catch (error) {
    const { code, pointer } = error as { code: string; pointer: string | undefined }
    return { code, pointer }
  }
}

describe('submissions', () => {
  type Case = { text: string; ok: boolean; pointer?: string; note: string }
  const { cases }: { cases: Case[] } = JSON.parse(
    readFileSync(new URL('../vectors/entries/strict-json.json', import.meta.url), 'utf8'),
  )

  test.each(cases)('$text: $note', ({ text, ok, pointer, note }) => {
    const got = refusal(text, 65)
    if (note === 'not an object') {
      const submission = new Tape()
      parseStrict(utf8.encode(text), submission)
      expect(kindOf(submission, findMember(submission, 0, 'payload'))).not.toBe('object')
    } else {
      expect(got === undefined).toBe(ok)
      if (pointer !== undefined) expect(got).toEqual({ code: 'json-not-strict', pointer })
    }
  })
})

describe('what is not JSON', () => {
  const texts = [
    '',
    ' ',
    '{',
    '[',
    '"',
    '"a',
    '"\\',
    '"\\u00',
    '{"a"',
    '{"a":',
    '{"a":1',
    '[1',
    '[1,',
    '[1 2]',
    '[,]',
    '[1,]',
    '{,}',
    '{"a":1,}',
    '{a:1}',
    '{"a" 1}',
    '{"a",1}',
    '[1}',
    '{"a":1]',
    ']',
    '}',
    ',',
    ':',
    'tru',
    'True',
    'nul',
    'nulll',
    'truefalse',
    '1 2',
    '{}{}',
    '01',
    '-',
    '+1',
    '1.',
    '.1',
    '1e',
    '0x10',
    'NaN',
    'Infinity',
    "'a'",
    '"\t"',
    '"\n"',
    '"\u0000"',
    '"\\x41"',
    '"\\u00g0"',
    '"\\U0041"',
    '\ufeff1',
    '// a\n1',
    '\u00a01',
    '1\f',
    '\u20281',
  ]
  test.each(texts)('%j', (text) => {
    expect(() => JSON.parse(text)).toThrow()
    expect(refusal(text)?.code).toBe('malformed-json')
  })

  const notUtf8 = ['80', 'ff', 'c080', 'c1bf', 'e08080', 'eda080', 'e282', 'f0808080', 'f4908080', 'f5808080']
  test.each(notUtf8)('a string with the bytes %s', (hex) => {
    expect(verdict(Uint8Array.from([0x22, ...parseHex(hex), 0x22]))).toBe('malformed-json')
  })

  test('the message names the byte, counted from the start of the value', () => {
    const bytes = utf8.encode('xxxxx{"a":1,!}')
    expect(() => scan(bytes, 5, bytes.length, tape)).toThrow('JSON, byte 7: unexpected byte 0x21')
    expect(() => scan(bytes, 5, bytes.length - 2, tape)).toThrow('JSON, byte 7: the text ends inside a value')
  })

  test('nothing behind `end` is looked at', () => {
    for (const text of ['"abc"', '{"a":1}', '[true]', 'null', '"\\u0041"', '"\u20ac"', '[1.5]', '"\\ud83d\\ude00"']) {
      const bytes = utf8.encode(text)
      for (let end = 0; end < bytes.length; end++) expect(() => scan(bytes, 0, end, tape)).toThrow('JSON, byte')
    }
  })
})

describe('what is JSON and refused', () => {
  test.each([
    ['{"a~/b":{"c":[0,{"":1,"":2}]}}', '/a~0~1b/c/1/'],
    ['[0,[1,2,1e400]]', '/1/2'],
    ['1e400', ''],
    ['"\\ud800"', ''],
    ['"\\udc00\\ud800"', ''],
    ['["\\ud83d","\\ude00"]', '/0'],
    ['{"x":{"a\\u0000":1}}', '/x'],
    ['{"x":{"\\udc00":1}}', '/x'],
    ['{"__proto__":1}', '/__proto__'],
    ['{"\\u005f_proto__":1}', '/__proto__'],
    ['{"é":1,"\\u00e9":2}', '/é'],
    ['{"a":1,"b":2,"a":3,"b":4}', '/a'],
    ['{"b":1e400,"a":{"c":1,"c":1}}', '/b'],
  ])('%s at %j', (text, pointer) => {
    expect(refusal(text)).toEqual({ code: 'json-not-strict', pointer })
  })

  test('the later one of two names in a large object', () => {
    const names = Array.from({ length: 1000 }, (_, i) => `n${(i * 7919) % 1000}`)
    const texts = [...names.slice(0, 900), 'n33', ...names.slice(900)].map((name) => `"${name}":0`)
    expect(refusal(`{${texts.join(',')}}`)).toEqual({ code: 'json-not-strict', pointer: '/n33' })
    expect(refusal(`{${names.map((name) => `"${name}":0`).join(',')}}`)).toBeUndefined()
  })

  test('it is read to its end, so that the next record is found', () => {
    const bytes = utf8.encode(`[{"a":1,"a":[1]} , ${'['.repeat(100)}${']'.repeat(100)},{"b":1}]`)
    const reasons: (string | undefined)[] = []
    for (let at = 1; bytes[at - 1] !== 0x5d; at = skipSpace(bytes, at, bytes.length) + 1) {
      at = scan(bytes, skipSpace(bytes, at, bytes.length), bytes.length, tape)
      reasons.push(tape.violation?.reason)
      if (reasons.length === 3) break
    }
    expect(reasons).toEqual(['duplicate member name', 'nested deeper than 64', undefined])
  })
})

describe('limits', () => {
  test('the depth limit counts the root as 1', () => {
    expect(refusal('[[[]]]', 3)).toBeUndefined()
    expect(refusal('[0,[{"a":{}}]]', 3)).toEqual({ code: 'json-not-strict', pointer: '/1/0/a' })
    expect(() => new Tape(0)).toThrow('depth limit')
  })

  test('levels around what is limited do not count, and the reason names the limit', () => {
    const around = new Tape(2, 1)
    parseStrict(utf8.encode('[[[]]]'), around)
    const text = utf8.encode('[[[[]]]]')
    scan(text, 0, text.length, around)
    expect(around.violation).toEqual({ reason: 'nested deeper than 2', pointer: '/0/0/0' })
  })

  test('after a violation numbers are not looked at any more', () => {
    const text = utf8.encode('["\\u0000",1e20,12345678901234567890]')
    scan(text, 0, text.length, tape)
    expect(tape.numberGrowth).toBe(0)
    expect(tape.violation?.pointer).toBe('/0')
  })

  test('names with escapes are sorted without a string of any, however many there are', () => {
    const names = Array.from({ length: 4_000 }, (_, i) => `"\\u0061${'x'.repeat(60)}${(i * 7_919) % 4_001}":0`)
    const text = utf8.encode(`{${names.join(',')}}`)
    const parse = vi.spyOn(JSON, 'parse')
    try {
      scan(text, 0, text.length, tape)
      expect(parse).not.toHaveBeenCalled()
    } finally {
      parse.mockRestore()
    }
  })

  test('offsets of errors count from where the caller says', () => {
    const text = utf8.encode('[1,{x}]')
    expect(() => scan(text, 3, text.length, tape)).toThrow('byte 1:')
    expect(() => scan(text, 3, text.length, tape, 0)).toThrow('byte 4:')
  })

  test.each([
    ['brackets', '['.repeat(500_000) + ']'.repeat(500_000)],
    ['objects', `${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`],
    ['members in falling order', `{${Array.from({ length: 80_000 }, (_, i) => `"${999_999 - i}":0`).join(',')}}`],
    [
      'members that differ late',
      `{${Array.from({ length: 900 }, (_, i) => `"${'x'.repeat(1000)}${(i * 7) % 900}":0`)}}`,
    ],
    ['members with escapes', `{${Array.from({ length: 60_000 }, (_, i) => `"\\u0061${(i * 7919) % 60_000}":0`)}}`],
    ['elements', `[${'0,'.repeat(500_000)}0]`],
    ['small objects', `[${'{"b":1,"a":2},'.repeat(70_000)}0]`],
    ['digits', '1'.repeat(1_000_000)],
    ['escapes', `"${'\\u0041'.repeat(170_000)}"`],
  ])('a megabyte of %s takes no quadratic time', (_, text) => {
    const bytes = utf8.encode(text)
    const start = performance.now()
    expect(scan(bytes, 0, bytes.length, tape)).toBe(bytes.length)
    expect(performance.now() - start).toBeLessThan(3000)
  })

  test('a large value leaves no large tape behind', () => {
    const bytes = utf8.encode(`[${'0,'.repeat(500_000)}0]`)
    scan(bytes, 0, bytes.length, tape)
    const large = tape.nodes.length
    scan(utf8.encode('1'), 0, 1, tape)
    expect(tape.nodes.length).toBeLessThan(large / 100)
  })
})

const name = fc.constantFrom(
  'a',
  'b',
  'é',
  '\u{1f600}',
  '\uffee',
  '__proto__',
  '1',
  '10',
  '',
  'a"b',
  'abcdefg',
  'abcdefh',
)
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false', '0', '-0', '1.50', '12e3', '1e400', '9007199254740993', '0.1'),
    fc.string({ unit: 'grapheme', maxLength: 6 }).map((text) => JSON.stringify(text)),
    fc.constantFrom('"\\ud83d\\ude00"', '"\\ud83d"', '"\\u0000"', '"\\u00e9\\/"', '"\u20ac\u{10ffff}\u07ff"'),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(', ')}]`),
    fc
      .array(fc.tuple(name, tie('value')), { maxLength: 5 })
      .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(' ,')}}`),
  ),
})).value as fc.Arbitrary<string>

const alphabet = utf8.encode('"\\{}[]:,0123456789eE+-.tfnu \n/abd\u00e9\u20ac\u{1f600}')
const mutation = fc.record({
  place: fc.nat(),
  byte: fc.oneof(fc.constantFrom(...alphabet), fc.nat(255)),
  how: fc.constantFrom('replace', 'insert', 'remove', 'cut'),
})

function mutate(bytes: Uint8Array, { place, byte, how }: { place: number; byte: number; how: string }): Uint8Array {
  const at = place % (bytes.length + 1)
  const rest = bytes.subarray(how === 'insert' ? at : at + 1)
  if (how === 'cut') return bytes.slice(0, at)
  return Uint8Array.from([...bytes.subarray(0, at), ...(how === 'remove' ? [] : [byte]), ...rest])
}

test('texts and mutated texts are accepted and refused as by JSON.parse and a slow strict reader', () => {
  const counts: Record<Verdict, number> = { accepted: 0, 'malformed-json': 0, 'json-not-strict': 0 }
  fc.assert(
    fc.property(json, fc.array(mutation, { maxLength: 2 }), (text, mutations) => {
      const bytes = mutations.reduce(mutate, utf8.encode(text))
      const want = slowVerdict(bytes, 64)
      counts[want]++
      expect(verdict(bytes)).toBe(want)
      if (want === 'accepted') expect(parseStrict(bytes)).toEqual(JSON.parse(decode(bytes)))
    }),
    { numRuns: 10_000 },
  )
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(500)
})

test('a view into a larger buffer is read at its own offset', () => {
  const whole = utf8.encode('##{"a":"bcdefghijk","é":[true]}##')
  for (const bytes of [whole.subarray(2, whole.length - 2), whole.subarray(3, whole.length - 2)]) {
    const text = decode(bytes)
    if (text.startsWith('{')) expect(parseStrict(bytes, tape)).toEqual(JSON.parse(text))
    else expect(verdict(bytes)).toBe('malformed-json')
  }
})

test('a missing member is none', () => {
  parseStrict(utf8.encode('{"a":1}'), tape)
  expect(findMember(tape, 0, 'b')).toBe(none)
})
