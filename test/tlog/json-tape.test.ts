import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { scan } from '../../tlog/json-scan.ts'
import {
  findMember,
  firstChild,
  kindOf,
  memberValue,
  nextElement,
  nextMember,
  none,
  pointerOf,
  readNumber,
  readString,
  stringIs,
  stringPoints,
  Tape,
} from '../../tlog/json-tape.ts'

const utf8 = new TextEncoder()

function scanned(text: string): Tape {
  const tape = new Tape()
  const bytes = utf8.encode(text)
  scan(bytes, 0, bytes.length, tape)
  return tape
}

/** What JSON.parse would give, read through the accessors. */
function readValue(tape: Tape, node: number): unknown {
  const kind = kindOf(tape, node)
  if (kind === 'null') return null
  if (kind === 'boolean') return tape.bytes[tape.nodes[node + 1] as number] === 0x74
  if (kind === 'number') return readNumber(tape, node)
  if (kind === 'string') return readString(tape, node)
  if (kind === 'array') return [...elements(tape, node)].map((element) => readValue(tape, element))
  return Object.fromEntries(
    [...members(tape, node)].map((name) => [readString(tape, name), readValue(tape, memberValue(name))]),
  )
}

function* elements(tape: Tape, array: number): Generator<number> {
  for (let node = firstChild(tape, array); node !== none; node = nextElement(tape, array, node)) yield node
}

function* members(tape: Tape, object: number): Generator<number> {
  for (let name = firstChild(tape, object); name !== none; name = nextMember(tape, object, name)) yield name
}

/** The value that an RFC 6901 pointer names. */
function follow(value: unknown, pointer: string): unknown {
  const tokens = pointer.split('/').slice(1)
  return tokens.reduce((at: unknown, token) => {
    return (at as Record<string, unknown>)[token.replaceAll('~1', '/').replaceAll('~0', '~')]
  }, value)
}

test('the accessors read what JSON.parse reads', () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: 'binary', maxDepth: 5 }), (text) => {
      expect(readValue(scanned(text), 0)).toEqual(JSON.parse(text, (_, value) => (Object.is(value, -0) ? 0 : value)))
    }),
    { numRuns: 500 },
  )
})

test('the pointer of every value leads to it', () => {
  const value = { 'a/b': [1, { '~': 'x', 'm~1n': [[2]] }], '': { '': 3 }, é: null, '1': [true] }
  const tape = scanned(JSON.stringify(value))
  const visit = (node: number): void => {
    expect(readValue(tape, node)).toEqual(follow(value, pointerOf(tape, node)))
    if (kindOf(tape, node) === 'array') for (const element of elements(tape, node)) visit(element)
    if (kindOf(tape, node) === 'object') for (const name of members(tape, node)) visit(memberValue(name))
  }
  visit(0)
})

describe('strings', () => {
  test.each([
    ['"abc"', 'abc', 3],
    ['""', '', 0],
    ['"é€\u{1f600}"', 'é€\u{1f600}', 3],
    ['"\\u00e9\\n\\ud83d\\ude00x\u{1f600}"', 'é\n\u{1f600}x\u{1f600}', 5],
    [`"${'x'.repeat(1000)}"`, 'x'.repeat(1000), 1000],
  ])('%s', (text, want, points) => {
    const tape = scanned(text)
    expect(readString(tape, 0)).toBe(want)
    expect(stringPoints(tape, 0)).toBe(points)
  })

  test('are compared with ASCII text after unescaping', () => {
    expect(stringIs(scanned('"payload"'), 0, 'payload')).toBe(true)
    expect(stringIs(scanned('"p\\u0061yload"'), 0, 'payload')).toBe(true)
    expect(stringIs(scanned('"payloads"'), 0, 'payload')).toBe(false)
    expect(stringIs(scanned('"payloae"'), 0, 'payload')).toBe(false)
    expect(stringIs(scanned('""'), 0, '')).toBe(true)
  })
})

test('a submission is taken apart without JSON.parse', () => {
  const tape = scanned('{"actorId":"a\\tb","lamport":-0,"payload":{"x":[]},"empty":{}}')
  expect(readString(tape, findMember(tape, 0, 'actorId'))).toBe('a\tb')
  expect(Object.is(readNumber(tape, findMember(tape, 0, 'lamport')), 0)).toBe(true)
  expect(kindOf(tape, findMember(tape, 0, 'payload'))).toBe('object')
  expect(firstChild(tape, findMember(tape, 0, 'empty'))).toBe(none)
  expect(findMember(tape, 0, 'x')).toBe(none)
})

test('a tape is used again after a failure', () => {
  const tape = new Tape()
  const bad = utf8.encode('{"a":1,"a":')
  expect(() => scan(bad, 0, bad.length, tape)).toThrow('JSON, byte')
  const good = utf8.encode('{"a":2}')
  scan(good, 0, good.length, tape)
  expect(tape.violation).toBeUndefined()
  expect(readValue(tape, 0)).toEqual({ a: 2 })
})
