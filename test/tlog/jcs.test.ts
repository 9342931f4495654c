import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { formatHex } from '../../tlog/bytes.ts'
import { jcs } from '../../tlog/jcs.ts'
import { canonicalLengthMax, writeJcs } from '../../tlog/json-canonical.ts'
import { parseStrict, scan } from '../../tlog/json-scan.ts'
import { Tape } from '../../tlog/json-tape.ts'

const vectors = new URL('../vectors/jcs/', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, vectors))

type Outcome = { output?: string; error?: string }
type Difference = { why: string; input: string; jcsOfParsedValue: Outcome }
const differences: { iJsonViolations: string[]; cases: Difference[] } = JSON.parse(read('differences.json').toString())
/** Accepted by JSON.parse, named by the file as fit for canonical JSON, and refused by DESIGN section 3. */
const refusedBesides = [
  '__proto__ as a data key',
  '__proto__ with a primitive value',
  '2^53 boundary',
  'underflow to zero',
  'many digits',
  'control characters',
]
const numbers: { cases: { ieee754: string; json: string }[] } = JSON.parse(read('numbers.json').toString())

function jcsOfBytes(bytes: Uint8Array): Uint8Array {
  const tape = new Tape()
  parseStrict(bytes, tape)
  const out = new Uint8Array(canonicalLengthMax(tape, 0))
  return out.subarray(0, writeJcs(tape, 0, out, 0))
}

describe('cyberphone', () => {
  test.each(readdirSync(new URL('cyberphone/input', vectors)))('%s', (file) => {
    const want = read(`cyberphone/output/${file}`)
    const hex = read(`cyberphone/outhex/${file.replace('.json', '.txt')}`)
      .toString()
      .replaceAll(/\s/g, '')
    const input = read(`cyberphone/input/${file}`)
    expect(jcs(JSON.parse(input.toString()))).toBe(want.toString())
    // One literal there does not survive a double, which DESIGN section 3 refuses.
    const survivor = input.toString().replace('333333333.33333329', '333333333.3333333')
    expect(formatHex(jcsOfBytes(new TextEncoder().encode(survivor)))).toBe(hex)
  })

  test('333333333.33333329 of values.json is refused', () => {
    expect(() => jcsOfBytes(read('cyberphone/input/values.json'))).toThrow(
      expect.objectContaining({ code: 'json-not-strict', pointer: '/numbers/0' }),
    )
  })
})

describe('differences from sorting and JSON.stringify', () => {
  test.each(differences.cases)('$why', ({ why, input, jcsOfParsedValue: { output } }) => {
    if (output === undefined) expect(() => jcs(JSON.parse(input))).toThrow('canonical JSON')
    else expect(jcs(JSON.parse(input))).toBe(output)
    const bytes = new TextEncoder().encode(input)
    if (differences.iJsonViolations.includes(why) || refusedBesides.includes(why)) {
      expect(() => jcsOfBytes(bytes)).toThrow('JSON')
    } else if (output !== undefined) {
      expect(new TextDecoder().decode(jcsOfBytes(bytes))).toBe(output)
    }
  })
})

test.each(numbers.cases)('number $ieee754', ({ ieee754, json }) => {
  const value = Buffer.from(ieee754, 'hex').readDoubleBE(0)
  if (!Number.isFinite(value)) expect(() => jcs(value)).toThrow('canonical JSON')
  else expect(jcs(value)).toBe(json)
})

test('values that JSON does not have are refused', () => {
  const values = [undefined, [undefined], { a: undefined }, 1n, new Date(0), new Map(), () => 0, Symbol('a'), NaN]
  for (const value of values) expect(() => jcs(value)).toThrow('canonical JSON')
})

test('a member called __proto__ is written', () => {
  expect(jcs(JSON.parse('{"b":1,"__proto__":{"x":1}}'))).toBe('{"__proto__":{"x":1},"b":1}')
})

test('the announced length is enough for numbers that get longer', () => {
  const bytes = new TextEncoder().encode('[1e20,-1e20,1.0,1e-6,{"a":2e19}]')
  const tape = new Tape()
  scan(bytes, 0, bytes.length, tape)
  const want = '[100000000000000000000,-100000000000000000000,1,0.000001,{"a":20000000000000000000}]'
  expect(canonicalLengthMax(tape, 0)).toBeGreaterThanOrEqual(want.length)
  expect(new TextDecoder().decode(jcsOfBytes(bytes))).toBe(want)
})
