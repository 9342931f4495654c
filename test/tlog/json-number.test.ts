import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalNumber, isPlainNumber, numberEnd, survivesDouble } from '../../tlog/json-number.ts'

const utf8 = new TextEncoder()

/** A decimal number as digits * 10^exponent without trailing zeros in the digits. */
type Decimal = { digits: bigint; exponent: number }

function decimal(digits: bigint, exponent: number): Decimal {
  if (digits === 0n) return { digits, exponent: 0 }
  let [n, e] = [digits, exponent]
  while (n % 10n === 0n) [n, e] = [n / 10n, e + 1]
  return { digits: n, exponent: e }
}

function decimalOfText(text: string): Decimal {
  const [, whole, fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE](.*))?$/.exec(text) ?? []
  return decimal(BigInt(whole + fraction), Number(exponent) - fraction.length)
}

/** The exact value of a finite positive double. */
function decimalOfDouble(value: number): Decimal {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const biased = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & 0xfffffffffffffn
  const mantissa = biased === 0 ? fraction : fraction + 0x10000000000000n
  const power = (biased === 0 ? 1 : biased) - 1075
  return power >= 0 ? decimal(mantissa << BigInt(power), 0) : decimal(mantissa * 5n ** BigInt(-power), power)
}

/** Rounds to `count` significant digits: the nearest such number, or both where two are equally near. */
function rounded({ digits, exponent }: Decimal, count: number): Decimal[] {
  const excess = String(digits).length - count
  if (excess <= 0) return [decimal(digits, exponent)]
  const unit = 10n ** BigInt(excess)
  const up = (2n * digits + unit) / (2n * unit)
  const down = (2n * digits + unit - 1n) / (2n * unit)
  return [up, down].map((n) => decimal(n, exponent + excess))
}

function survivesExactly(text: string): boolean {
  const want = decimalOfText(text)
  const count = String(want.digits).length
  const value = Math.abs(Number(text))
  if (want.digits === 0n) return true
  if (value === 0 || !Number.isFinite(value) || count > 100) return false
  return rounded(decimalOfDouble(value), count).some(
    (got) => got.digits === want.digits && got.exponent === want.exponent,
  )
}

const digitsOf = (max: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${max}}$`))
const literal = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9][0-9]{0,24}$/)),
    fc.option(digitsOf(24)),
    fc.option(fc.tuple(fc.constantFrom('e', 'E', 'e+', 'e-'), fc.integer({ min: 0, max: 345 }).map(String))),
  )
  .map(([sign, whole, fraction, exponent]) => {
    return sign + whole + (fraction === null ? '' : `.${fraction}`) + (exponent === null ? '' : exponent.join(''))
  })
/** Spellings of doubles with 1 to 30 digits: close to the border between the two answers. */
const spelled = fc
  .tuple(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: 1, max: 30 }))
  .map(([value, count]) => value.toPrecision(count))

describe('which numbers survive', () => {
  test('any literal: the same as by exact arithmetic', () => {
    fc.assert(
      fc.property(fc.oneof(literal, spelled), (text) => survivesDouble(text) === survivesExactly(text)),
      { numRuns: 4000 },
    )
  })

  test.each([
    ['9007199254740992', true],
    ['9007199254740993', false],
    ['0.10000000000000001', true],
    ['0.1000000000000000055', false],
    ['5e-324', true],
    ['4e-324', false],
    ['123456789012345e-330', false],
    ['1.7976931348623157e308', true],
    ['1.8e308', false],
    ['1e-400', false],
    ['-0.000e99999999999999999999', true],
    [`1${'0'.repeat(300)}`, true],
    [`0.${'0'.repeat(400)}1e401`, true],
    [`0.${'3'.repeat(101)}`, false],
    // 1125899906842624.25, half-way between two 17-digit numbers.
    ['1125899906842624.2', true],
    ['1125899906842624.3', true],
    ['-1125899906842624.2', true],
    ['1125899906842624.1', false],
    ['1125899906842624.4', false],
  ])('%s: %s', (text, survives) => {
    expect(survivesDouble(text)).toBe(survives)
    expect(survivesExactly(text)).toBe(survives)
  })

  test('what String() makes of a double survives, half-way cases included', () => {
    const quarters = fc.bigInt({ min: 2n ** 52n, max: 2n ** 53n - 1n }).map((n) => Number(n) / 4)
    const doubles = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), quarters)
    const holds = (value: number) => survivesDouble(String(value)) && survivesDouble(value.toPrecision(17))
    fc.assert(fc.property(doubles, holds), { numRuns: 3000 })
  })

  test('a million zeros take no quadratic time', () => {
    expect(survivesDouble(`1${'0'.repeat(1_000_000)}1e-1000001`)).toBe(false)
  })
})

describe('spelling', () => {
  test('a plain number is its own canonical text and survives', () => {
    let plain = 0
    fc.assert(
      fc.property(fc.oneof(literal, spelled), (text) => {
        if (!isPlainNumber(utf8.encode(text), 0, text.length)) return
        plain++
        expect(canonicalNumber(text)).toBe(text)
        expect(survivesExactly(text)).toBe(true)
      }),
      { numRuns: 4000 },
    )
    expect(plain).toBeGreaterThan(100)
  })

  test.each(['0', '7', '-1', '123456789012345', '0.5', '-0.25', '12.75'])('%s is plain', (text) => {
    expect(isPlainNumber(utf8.encode(text), 0, text.length)).toBe(true)
  })

  test.each(['-0', '1.0', '0.01', '1e3', '1234567890123456', '-0.0'])('%s needs a closer look', (text) => {
    expect(isPlainNumber(utf8.encode(text), 0, text.length)).toBe(false)
  })
})

test('a literal ends where JSON ends it', () => {
  const ends = ['1x', '-', '-x', '01', '0', '1.', '1.5.', '1e', '1e+', '1E-7,', '.5', '+1', '-01', '12'].map((text) =>
    numberEnd(utf8.encode(text), 0, text.length),
  )
  expect(ends).toEqual([1, -1, -1, -1, 1, -1, 3, -1, -1, 4, -1, -1, -1, 2])
})
