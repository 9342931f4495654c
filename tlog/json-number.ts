/**
 * Numbers of strict JSON (DESIGN section 3): which ones an IEEE double keeps, and how RFC 8785 3.2.2.3 spells them.
 * Texts here are JSON number literals (RFC 8259 section 6).
 */

const minus = 0x2d
const point = 0x2e
const zero = 0x30

/** A double has at least this many significant decimal digits, whatever the number. */
const safeDigits = 15
/** More digits than `toExponential` can write; a text with more is never the spelling of a double here. */
const significantDigitsMax = 100
/** Decimal exponents inside which every double is normal, so that `safeDigits` holds. */
const normalExponentMax = 300

/** Position after the number literal that starts at `start`, or -1 where there is none. Looks at bytes[start..end). */
export function numberEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = bytes[start] === minus ? start + 1 : start
  const integer = at
  at = digitsEnd(bytes, at, end)
  if (at === integer || (at > integer + 1 && bytes[integer] === zero)) return -1
  if (at < end && bytes[at] === point) {
    const fraction = at + 1
    at = digitsEnd(bytes, fraction, end)
    if (at === fraction) return -1
  }
  return at < end && isExponentMark(bytes[at] as number) ? exponentEnd(bytes, at + 1, end) : at
}

/**
 * Whether the literal bytes[start..end) is known at a glance to survive a double and to be its RFC 8785 spelling:
 * at most 15 digits, no exponent, no zero at the end of a fraction, not minus zero. Two different decimals of at most
 * 15 digits are never the same double, so such a text is also the shortest one. `false` means: look closer.
 */
export function isPlainNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const integer = bytes[start] === minus ? start + 1 : start
  const integerEnd = digitsEnd(bytes, integer, end)
  if (end - integer > safeDigits) return false
  if (integerEnd === end) return integer === start || bytes[integer] !== zero
  if (bytes[integerEnd] !== point || digitsEnd(bytes, integerEnd + 1, end) !== end) return false
  // Below 0.1 the spelling may become an exponent (1e-7).
  return bytes[end - 1] !== zero && (bytes[integer] !== zero || bytes[integerEnd + 1] !== zero)
}

/**
 * Whether the double nearest to `text`, written with as many significant digits as `text` has without trailing zeros,
 * is the same decimal number. At most 100 digits. Zero survives in every spelling; overflow and underflow do not.
 * A double half-way between two such decimals may be written as either: ECMAScript's own String(1125899906842624.25)
 * ends in .2, its toPrecision(17) in .3, and what a JSON writer made must be readable.
 */
export function survivesDouble(text: string): boolean {
  const want = decimalParts(text)
  const count = want.digits.length
  if (count === 0) return true
  if (count > significantDigitsMax) return false
  if (count <= safeDigits && Math.abs(want.exponent) <= normalExponentMax) return true
  const value = Math.abs(Number(text))
  if (value === 0 || value === Number.POSITIVE_INFINITY) return false
  const got = decimalParts(value.toExponential(count - 1))
  return (got.digits === want.digits && got.exponent === want.exponent) || isHalfAbove(want, value)
}

/** Whether `value` is `below` and exactly half a unit of its last digit (toExponential rounds such values up). */
function isHalfAbove(below: Decimal, value: number): boolean {
  const exact = decimalParts(value.toExponential(significantDigitsMax))
  return exact.exponent === below.exponent && exact.digits === `${below.digits}5`
}

/** RFC 8785 spelling of the double nearest to `text`: ECMAScript Number::toString, which writes minus zero as `0`. */
export function canonicalNumber(text: string): string {
  return String(Number(text))
}

/** Significant digits without zeros at either end, and the power of ten of the first one. No digits means zero. */
type Decimal = { readonly digits: string; readonly exponent: number }

/** The decimal number behind a literal, sign left out. */
function decimalParts(text: string): Decimal {
  const mantissaStart = text.startsWith('-') ? 1 : 0
  const mark = text.search(/[eE]/)
  const mantissaEnd = mark < 0 ? text.length : mark
  const dot = text.indexOf('.')
  const integerEnd = dot < 0 ? mantissaEnd : dot
  const all = text.slice(mantissaStart, integerEnd) + (dot < 0 ? '' : text.slice(dot + 1, mantissaEnd))
  let first = 0
  while (all.charCodeAt(first) === zero) first++
  let last = all.length
  while (last > first && all.charCodeAt(last - 1) === zero) last--
  const shift = mark < 0 ? 0 : Number(text.slice(mark + 1))
  return { digits: all.slice(first, last), exponent: integerEnd - mantissaStart - 1 - first + shift }
}

function digitsEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && (bytes[at] as number) >= zero && (bytes[at] as number) <= 0x39) at++
  return at
}

function isExponentMark(byte: number): boolean {
  return byte === 0x65 || byte === 0x45
}

function exponentEnd(bytes: Uint8Array, start: number, end: number): number {
  const signed = start < end && (bytes[start] === minus || bytes[start] === 0x2b)
  const digits = signed ? start + 1 : start
  const at = digitsEnd(bytes, digits, end)
  return at === digits ? -1 : at
}
