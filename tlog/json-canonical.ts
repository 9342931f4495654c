import { canonicalNumber } from './json-number.ts'
import { indexOfName, placesByKey } from './json-order.ts'
import { backslash, escapeLength, escapePoint, writePoint } from './json-string.ts'
import {
  arrayKind,
  endOf,
  firstChild,
  hasIndexNames,
  kindBits,
  memberValue,
  metaOf,
  nextElement,
  nextMember,
  nextOf,
  none,
  numberKind,
  objectKind,
  readText,
  startOf,
  type Tape,
  verbatimFlag,
} from './json-tape.ts'

/**
 * The two canonical texts of DESIGN section 3, from a scanned value without violation to UTF-8 bytes. What the sender
 * already wrote canonically is copied as it is, whole containers included.
 */
type WriteValue = (tape: Tape, node: number, out: Uint8Array, at: number) => number

const comma = 0x2c
const colon = 0x3a
const quote = 0x22

/** Bytes that either canonical text of `node` needs at most: only numbers can get longer (`1e20`). */
export function canonicalLengthMax(tape: Tape, node: number): number {
  return endOf(tape, node) - startOf(tape, node) + tape.numberGrowth
}

/** Writes the RFC 8785 text of `node` to out[at..], where `canonicalLengthMax` must fit; returns the position after it. */
export function writeJcs(tape: Tape, node: number, out: Uint8Array, at: number): number {
  const meta = metaOf(tape, node)
  if ((meta & verbatimFlag) !== 0) return copy(tape.bytes, startOf(tape, node), endOf(tape, node), out, at)
  return (meta & kindBits) === objectKind
    ? writeObject(tape, node, out, at)
    : writeOrdered(tape, node, out, at, writeJcs)
}

/** Writes the chain text of `node` likewise: as `writeJcs`, but names that are array indexes first, by number. */
export function writeChainText(tape: Tape, node: number, out: Uint8Array, at: number): number {
  if (!hasIndexNames(tape, node)) return writeJcs(tape, node, out, at)
  return (metaOf(tape, node) & kindBits) === objectKind
    ? writeIndexFirst(tape, node, out, at)
    : writeOrdered(tape, node, out, at, writeChainText)
}

function writeObject(tape: Tape, object: number, out: Uint8Array, start: number): number {
  let at = start
  out[at++] = 0x7b
  for (let slot = firstChild(tape, object); slot !== none; slot = nextMember(tape, object, slot)) {
    // The i-th name in the document leads to the i-th one of canonical order.
    at = writeMember(tape, nextOf(tape, slot), out, at, writeJcs)
    out[at++] = comma
  }
  return endContainer(out, start, at, 0x7d)
}

function writeIndexFirst(tape: Tape, object: number, out: Uint8Array, start: number): number {
  let at = start
  out[at++] = 0x7b
  for (const name of namesIndexFirst(tape, object)) {
    at = writeMember(tape, name, out, at, writeChainText)
    out[at++] = comma
  }
  return endContainer(out, start, at, 0x7d)
}

/** Names in the order in which JavaScript enumerates them after they were added in canonical order. */
function namesIndexFirst(tape: Tape, object: number): number[] {
  const indexes: number[] = []
  const indexed: number[] = []
  const others: number[] = []
  for (let slot = firstChild(tape, object); slot !== none; slot = nextMember(tape, object, slot)) {
    const name = nextOf(tape, slot)
    const index = indexOfName(tape, name)
    if (index < 0) {
      others.push(name)
    } else {
      indexes.push(index)
      indexed.push(name)
    }
  }
  const names: number[] = []
  for (const place of placesByKey(indexes.length, (place) => indexes[place] as number)) {
    names.push(indexed[place] as number)
  }
  return names.concat(others)
}

function writeMember(tape: Tape, name: number, out: Uint8Array, start: number, writeValue: WriteValue): number {
  const value = memberValue(name)
  const verbatim = metaOf(tape, name) & metaOf(tape, value) & verbatimFlag
  if (verbatim !== 0 && startOf(tape, value) === endOf(tape, name) + 1 && writeValue === writeJcs) {
    return copy(tape.bytes, startOf(tape, name), endOf(tape, value), out, start)
  }
  const at = writeOrdered(tape, name, out, start, writeValue)
  out[at] = colon
  return writeValue(tape, value, out, at + 1)
}

/** Anything but an object. */
function writeOrdered(tape: Tape, node: number, out: Uint8Array, start: number, writeValue: WriteValue): number {
  const meta = metaOf(tape, node)
  const kind = meta & kindBits
  if (kind === arrayKind) return writeArray(tape, node, out, start, writeValue)
  if ((meta & verbatimFlag) !== 0) return copy(tape.bytes, startOf(tape, node), endOf(tape, node), out, start)
  return kind === numberKind ? writeNumber(tape, node, out, start) : writeString(tape, node, out, start)
}

function writeArray(tape: Tape, array: number, out: Uint8Array, start: number, writeValue: WriteValue): number {
  let at = start
  out[at++] = 0x5b
  for (let element = firstChild(tape, array); element !== none; element = nextElement(tape, array, element)) {
    at = writeValue(tape, element, out, at)
    out[at++] = comma
  }
  return endContainer(out, start, at, 0x5d)
}

/** Puts the closing bracket over the last comma, or behind the opening bracket of an empty container. */
function endContainer(out: Uint8Array, start: number, at: number, bracket: number): number {
  const end = at === start + 1 ? at : at - 1
  out[end] = bracket
  return end + 1
}

function writeNumber(tape: Tape, node: number, out: Uint8Array, start: number): number {
  const text = canonicalNumber(readText(tape, node))
  for (let i = 0; i < text.length; i++) out[start + i] = text.charCodeAt(i)
  return start + text.length
}

function writeString(tape: Tape, node: number, out: Uint8Array, start: number): number {
  const { bytes } = tape
  const end = endOf(tape, node) - 1
  let at = start
  out[at++] = quote
  for (let from = startOf(tape, node) + 1; from < end; ) {
    if (bytes[from] !== backslash) {
      out[at++] = bytes[from++] as number
    } else {
      const length = escapeLength(bytes, from, end)
      at = writePoint(escapePoint(bytes, from, length), out, at)
      from += length
    }
  }
  out[at++] = quote
  return at
}

/** Up to here a loop is no slower than `set`, which makes a view first. Measured: 16 to 128 make no difference. */
const loopBytesMax = 32

function copy(bytes: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
  const length = end - start
  if (length > loopBytesMax) out.set(bytes.subarray(start, end), at)
  else for (let i = 0; i < length; i++) out[at + i] = bytes[start + i] as number
  return at + length
}
