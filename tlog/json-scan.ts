import { decodeUtf8 } from './bytes.ts'
import { TlogError } from './errors.ts'
import { canonicalNumber, isPlainNumber, numberEnd, survivesDouble } from './json-number.ts'
import { indexOfName, orderMembers } from './json-order.ts'
import {
  backslash,
  escapeLength,
  escapePoint,
  isCanonicalEscape,
  isPlainByte,
  quote,
  utf8Length,
} from './json-string.ts'
import {
  arrayKind,
  checkStrict,
  endField,
  endOf,
  escapedFlag,
  falseKind,
  indexNamesFlag,
  kindBits,
  memberValue,
  metaOf,
  nextField,
  nextOf,
  nodeStride,
  nonAsciiFlag,
  none,
  nullKind,
  numberKind,
  objectKind,
  startOf,
  stringIs,
  stringKind,
  Tape,
  trueKind,
  verbatimFlag,
} from './json-tape.ts'

const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** Reads a whole JSON text strictly (DESIGN section 3). Throws `malformed-json`, or `json-not-strict` with a pointer. */
export function parseStrict(bytes: Uint8Array, tape: Tape = new Tape()): unknown {
  const end = skipSpace(bytes, scan(bytes, skipSpace(bytes, 0, bytes.length), bytes.length, tape), bytes.length)
  if (end < bytes.length) throw malformed(end, 'text after the value')
  checkStrict(tape)
  return JSON.parse(decodeUtf8(bytes))
}

/** Position of the first byte from `start` that is not white space of JSON, or `end`. */
export function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && isSpace(bytes[at] as number)) at++
  return at
}

/**
 * Reads the one JSON value (RFC 8259) that starts at bytes[start], onto `tape`, and returns the position after it.
 * White space around it and what follows is the caller's. Bytes that are not JSON throw `malformed-json` with the
 * offset from `origin`. JSON that is not strict (DESIGN section 3) is read to its end all the same, so that the caller
 * can go on behind it: the first such trouble is `tape.violation`. Time and memory are linear in the length, n log n
 * in the members of an object; nesting costs no stack.
 */
export function scan(bytes: Uint8Array, start: number, end: number, tape: Tape, origin: number = start): number {
  tape.reset(bytes, origin)
  let at = start
  let open = none
  let depth = -tape.levelsAround
  for (;;) {
    const first = byteAt(bytes, at, end)
    if (first === quote) {
      at = scanString(tape, at, end)
    } else if (first === openBrace || first === openBracket) {
      if (++depth > tape.depthMax) tape.violate(`nested deeper than ${tape.depthMax}`, tape.length)
      open = tape.push(first === openBrace ? objectKind : arrayKind, at, open)
      at = skipSpace(bytes, at + 1, end)
      if (byteAt(bytes, at, end) !== first + 2) {
        if (first === openBrace) at = scanName(tape, open, at, end)
        continue
      }
    } else {
      at = scanScalar(tape, first, at, end)
    }
    // Behind a value, or in an empty container: close what ends here, until a comma says that a value follows.
    for (;;) {
      if (open === none) return at
      at = skipSpace(bytes, at, end)
      const byte = byteAt(bytes, at, end)
      const isObject = (metaOf(tape, open) & kindBits) === objectKind
      if (byte === comma) {
        at = skipSpace(bytes, at + 1, end)
        if (isObject) at = scanName(tape, open, at, end)
        break
      }
      if (byte !== (isObject ? closeBrace : closeBracket)) throw malformedIn(tape, at, end)
      open = closeContainer(tape, open, ++at)
      depth--
    }
  }
}

/** Reads a member's name and the colon; returns where its value must start. */
function scanName(tape: Tape, object: number, start: number, end: number): number {
  const { bytes } = tape
  if (byteAt(bytes, start, end) !== quote) throw malformedIn(tape, start, end)
  const name = tape.length
  let at = scanString(tape, start, end)
  tape.nodes[name + nextField] = name
  checkName(tape, object, name)
  if (byteAt(bytes, at, end) !== colon) {
    at = skipSpace(bytes, at, end)
    if (byteAt(bytes, at, end) !== colon) throw malformedIn(tape, at, end)
  }
  return skipSpace(bytes, at + 1, end)
}

/** Neither `__proto__` nor an array index of ten digits is longer, quotes included and all of it escaped. */
const specialNameBytesMax = 62

/** Refuses `__proto__`, and marks an object that has an array index for a name. */
function checkName(tape: Tape, object: number, name: number): void {
  const first = tape.bytes[startOf(tape, name) + 1] as number
  if (first !== 0x5f && first > 0x39 && (metaOf(tape, name) & escapedFlag) === 0) return
  if (isPlainName(tape, name, first)) return
  if (endOf(tape, name) - startOf(tape, name) > specialNameBytesMax) return
  if (indexOfName(tape, name) >= 0) tape.nodes[object] = metaOf(tape, object) | indexNamesFlag
  else if (stringIs(tape, name, '__proto__')) tape.violate('member name __proto__', name)
}

function isPlainName(tape: Tape, name: number, first: number): boolean {
  if ((metaOf(tape, name) & escapedFlag) !== 0) return false
  return first === 0x5f ? endOf(tape, name) - startOf(tape, name) !== 11 : first < 0x30 || first > 0x39
}

function scanString(tape: Tape, start: number, end: number): number {
  const { bytes } = tape
  const at = plainEnd(tape, start + 1, end)
  if (at >= end || bytes[at] !== quote) return scanAnyString(tape, start, at, end)
  tape.push(stringKind | verbatimFlag, start, at + 1)
  return at + 1
}

/**
 * Position of the first byte from `start` that is not plain (json-string.ts), or `end`. Four bytes at a time: the sum
 * of differences has the high bit of a byte set where that byte is 0x80 or more, below 0x20, `"` or `\`. A borrow can
 * set it wrongly only above a byte that is one of those, so the lowest one counts.
 */
function plainEnd(tape: Tape, start: number, end: number): number {
  const { bytes, view } = tape
  let at = start
  for (; at + 4 <= end; at += 4) {
    const four = view.getInt32(at, true)
    const marks =
      (four | (four - 0x20202020) | ((four ^ 0x22222222) - 0x01010101) | ((four ^ 0x5c5c5c5c) - 0x01010101)) &
      0x80808080
    if (marks !== 0) return at + ((31 - Math.clz32(marks & -marks)) >> 3)
  }
  while (at < end && isPlainByte[bytes[at] as number] === 1) at++
  return at
}

/** Goes on in a string from its first byte that needs a look. */
function scanAnyString(tape: Tape, start: number, from: number, end: number): number {
  const { bytes } = tape
  let meta = stringKind | verbatimFlag
  let at = from
  while (byteAt(bytes, at, end) !== quote) {
    const byte = byteAt(bytes, at, end)
    if (byte >= 0x80) {
      const length = utf8Length(bytes, at, end)
      if (length === 0) throw malformed(at - tape.origin, 'not UTF-8')
      meta |= nonAsciiFlag
      at += length
    } else if (byte === backslash) {
      const length = escapeLength(bytes, at, end)
      if (length === 0) throw malformedIn(tape, at, end)
      checkPoint(tape, escapePoint(bytes, at, length))
      if (!isCanonicalEscape(bytes, at, length)) meta &= ~verbatimFlag
      meta |= escapedFlag
      at += length
    } else if (byte < 0x20) {
      throw malformedIn(tape, at, end)
    } else {
      at++
    }
  }
  tape.push(meta, start, at + 1)
  return at + 1
}

function checkPoint(tape: Tape, point: number): void {
  if (point === 0) tape.violate('U+0000 in a string', tape.length)
  if (point >= 0xd800 && point < 0xe000) tape.violate('lone surrogate in a string', tape.length)
}

function scanScalar(tape: Tape, first: number, start: number, end: number): number {
  if (first === 0x2d || (first >= 0x30 && first <= 0x39)) return scanNumber(tape, start, end)
  if (first === 0x74) return scanWord(tape, trueWord, trueKind, start, end)
  if (first === 0x66) return scanWord(tape, falseWord, falseKind, start, end)
  if (first === 0x6e) return scanWord(tape, nullWord, nullKind, start, end)
  throw malformedIn(tape, start, end)
}

function scanNumber(tape: Tape, start: number, end: number): number {
  const { bytes } = tape
  const at = numberEnd(bytes, start, end)
  if (at < 0) throw malformed(start - tape.origin, 'not a number')
  if (isPlainNumber(bytes, start, at)) {
    tape.push(numberKind | verbatimFlag, start, at)
    return at
  }
  // After a violation nobody writes this tape: what the number is does not matter, and finding out is dear.
  if (tape.violationReason !== undefined) {
    tape.push(numberKind, start, at)
    return at
  }
  const text = decodeUtf8(bytes.subarray(start, at))
  const canonical = canonicalNumber(text)
  tape.numberGrowth += Math.max(0, canonical.length - text.length)
  // What is spelt as its double is needs no closer look.
  if (canonical !== text && !survivesDouble(text)) tape.violate('number that no IEEE double keeps', tape.length)
  tape.push(canonical === text ? numberKind | verbatimFlag : numberKind, start, at)
  return at
}

const trueWord = [0x74, 0x72, 0x75, 0x65] as const
const falseWord = [0x66, 0x61, 0x6c, 0x73, 0x65] as const
const nullWord = [0x6e, 0x75, 0x6c, 0x6c] as const

function scanWord(tape: Tape, word: readonly number[], kind: number, start: number, end: number): number {
  for (let i = 1; i < word.length; i++) {
    if (byteAt(tape.bytes, start + i, end) !== word[i]) throw malformedIn(tape, start + i, end)
  }
  tape.push(kind | verbatimFlag, start, start + word.length)
  return start + word.length
}

/** Finishes the container that ends before `end`; returns its parent. */
function closeContainer(tape: Tape, node: number, end: number): number {
  const { nodes } = tape
  const parent = endOf(tape, node)
  const isObject = (metaOf(tape, node) & kindBits) === objectKind
  nodes[node + endField] = end
  nodes[node + nextField] = tape.length
  // After a violation nobody writes this tape: neither order nor further duplicates matter.
  if (tape.violationReason === undefined) {
    const verbatim = isObject ? orderMembers(tape, node) && isDenseObject(tape, node) : isDenseArray(tape, node)
    if (verbatim) nodes[node] = metaOf(tape, node) | verbatimFlag
  }
  if (parent !== none) nodes[parent] = metaOf(tape, parent) | (metaOf(tape, node) & indexNamesFlag)
  return parent
}

/** Whether an array is its elements' canonical texts and single commas. */
function isDenseArray(tape: Tape, node: number): boolean {
  let at = startOf(tape, node)
  for (let child = node + nodeStride; child < tape.length; child = nextOf(tape, child)) {
    if (startOf(tape, child) !== at + 1 || (metaOf(tape, child) & verbatimFlag) === 0) return false
    at = endOf(tape, child)
  }
  return at + (node + nodeStride === tape.length ? 2 : 1) === endOf(tape, node)
}

/** The same for an object, in whatever order its members are. */
function isDenseObject(tape: Tape, node: number): boolean {
  let at = startOf(tape, node)
  for (let name = node + nodeStride; name < tape.length; name = nextOf(tape, memberValue(name))) {
    const value = memberValue(name)
    if (startOf(tape, name) !== at + 1 || startOf(tape, value) !== endOf(tape, name) + 1) return false
    if ((metaOf(tape, name) & metaOf(tape, value) & verbatimFlag) === 0) return false
    at = endOf(tape, value)
  }
  return at + (node + nodeStride === tape.length ? 2 : 1) === endOf(tape, node)
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** 0, which no JSON text has outside strings or in them, stands for the end. */
function byteAt(bytes: Uint8Array, at: number, end: number): number {
  return at < end ? (bytes[at] as number) : 0
}

function malformedIn(tape: Tape, at: number, end: number): TlogError {
  if (at >= end) return malformed(at - tape.origin, 'the text ends inside a value')
  if (startsWithMark(tape.bytes, at, end)) {
    return malformed(at - tape.origin, 'a byte order mark (U+FEFF), which JSON must not begin with')
  }
  const byte = (tape.bytes[at] as number).toString(16).padStart(2, '0')
  return malformed(at - tape.origin, `unexpected byte 0x${byte}`)
}

/** Some editors and libraries of Windows begin a text with EF BB BF (RFC 8259 8.1). */
function startsWithMark(bytes: Uint8Array, at: number, end: number): boolean {
  return at + 3 <= end && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf
}

function malformed(offset: number, what: string): TlogError {
  return new TlogError('malformed-json', `JSON, byte ${offset}: ${what}`)
}
