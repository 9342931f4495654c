/**
 * Strings of JSON at the byte level: classes of bytes, UTF-8 (RFC 3629), escapes (RFC 8259 section 7) and their one
 * canonical spelling (RFC 8785 3.2.2.2). Functions that take an escape expect one that was scanned before.
 */

export const quote = 0x22
export const backslash = 0x5c

/** 1 for a byte that is one whole character of a string and stands for itself: ASCII but controls, `"` and `\`. */
export const isPlainByte: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && byte !== quote && byte !== backslash ? 1 : 0,
)

/** Code point of each two-byte escape by its second byte; 0 for bytes that make none. */
const shortEscapePoint: Uint8Array = new Uint8Array(256)
/** Second byte of the two-byte escape of a code point below 0x80 that canonical text must write so; else 0. */
const shortEscapeByte: Uint8Array = new Uint8Array(256)
for (const [letter, char] of ['""', '\\\\', 'b\b', 'f\f', 'n\n', 'r\r', 't\t'].map((pair) => [...pair])) {
  shortEscapePoint[(letter as string).charCodeAt(0)] = (char as string).charCodeAt(0)
  shortEscapeByte[(char as string).charCodeAt(0)] = (letter as string).charCodeAt(0)
}
shortEscapePoint[0x2f] = 0x2f

const hexDigit = (value: number): number => (value < 10 ? 0x30 : 0x57) + value

/** Length in bytes of the UTF-8 character that starts at `at` with a byte of 0x80 or more; 0 where it is not UTF-8. */
export function utf8Length(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  if (length === 0 || at + length > end) return 0
  const second = bytes[at + 1] as number
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (second < least || second > most) return 0
  for (let i = at + 2; i < at + length; i++) if (!isContinuation(bytes[i] as number)) return 0
  return length
}

/** Whether a byte continues a UTF-8 character, so that characters are counted by the other bytes. */
export function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

/**
 * Length in bytes of the escape whose backslash is at `at`: 2, 6, or 12 for a surrogate pair; 0 where there is none.
 * Looks at bytes[at..end). A lone surrogate is an escape of 6.
 */
export function escapeLength(bytes: Uint8Array, at: number, end: number): number {
  if (at + 2 > end) return 0
  if (bytes[at + 1] !== 0x75) return shortEscapePoint[bytes[at + 1] as number] === 0 ? 0 : 2
  const unit = escapedUnit(bytes, at, end)
  if (unit < 0) return 0
  return isHighSurrogate(unit) && isLowSurrogate(escapedUnit(bytes, at + 6, end)) ? 12 : 6
}

/** Code point of an escape of `length` bytes; a lone surrogate gives 0xD800 to 0xDFFF. */
export function escapePoint(bytes: Uint8Array, at: number, length: number): number {
  if (length === 2) return shortEscapePoint[bytes[at + 1] as number] as number
  const unit = escapedUnit(bytes, at, at + 6)
  if (length === 6) return unit
  return 0x10000 + (unit - 0xd800) * 0x400 + escapedUnit(bytes, at + 6, at + 12) - 0xdc00
}

/** Whether an escape of `length` bytes is the spelling that canonical text has for its code point. */
export function isCanonicalEscape(bytes: Uint8Array, at: number, length: number): boolean {
  if (length === 2) return bytes[at + 1] !== 0x2f
  const point = escapePoint(bytes, at, length)
  // Only the last digit of \u00xx below 0x20 can be a letter.
  return point < 0x20 && shortEscapeByte[point] === 0 && bytes[at + 5] === hexDigit(point & 15)
}

/** Writes one code point as canonical string content (1 to 6 bytes) and returns the position after it. */
export function writePoint(point: number, out: Uint8Array, start: number): number {
  let at = start
  if (point >= 0x80) return writeUtf8(point, out, start)
  const letter = shortEscapeByte[point] as number
  if (letter === 0 && point >= 0x20) {
    out[at++] = point
    return at
  }
  out[at++] = backslash
  if (letter !== 0) {
    out[at++] = letter
    return at
  }
  out[at++] = 0x75
  out[at++] = 0x30
  out[at++] = 0x30
  out[at++] = hexDigit(point >> 4)
  out[at++] = hexDigit(point & 15)
  return at
}

function writeUtf8(point: number, out: Uint8Array, start: number): number {
  let at = start
  if (point < 0x800) {
    out[at++] = 0xc0 | (point >> 6)
  } else if (point < 0x10000) {
    out[at++] = 0xe0 | (point >> 12)
    out[at++] = 0x80 | ((point >> 6) & 63)
  } else {
    out[at++] = 0xf0 | (point >> 18)
    out[at++] = 0x80 | ((point >> 12) & 63)
    out[at++] = 0x80 | ((point >> 6) & 63)
  }
  out[at++] = 0x80 | (point & 63)
  return at
}

/** UTF-16 code unit of `\uXXXX` at `at`, or -1. */
function escapedUnit(bytes: Uint8Array, at: number, end: number): number {
  if (at + 6 > end || bytes[at] !== backslash || bytes[at + 1] !== 0x75) return -1
  let unit = 0
  for (let i = at + 2; i < at + 6; i++) {
    const value = hexValue(bytes[i] as number)
    if (value < 0) return -1
    unit = unit * 16 + value
  }
  return unit
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000
}
