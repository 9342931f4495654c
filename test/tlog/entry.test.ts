import { readFileSync } from 'node:fs'
import { Encoder } from 'cbor-x'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes, encodeUtf8, formatHex, parseHex } from '../../tlog/bytes.ts'
import { chainHash, chainText, genesisHash } from '../../tlog/chain.ts'
import { appendLeafHash, type CompactRange, emptyRange, rangeRoot } from '../../tlog/compact-range.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { decodeLeaf, encodeLeaf, type LeafFields, leafBytesMax } from '../../tlog/entry.ts'
import { TlogError } from '../../tlog/errors.ts'
import { digest, type Hash, leafHash } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { formatMicroseconds, microsecondsEnd, parseOccurredAt } from '../../tlog/time.ts'
import { parseUuid } from '../../tlog/uuid.ts'

type EntryVector = {
  readonly submission: {
    readonly id: string
    readonly payload: unknown
    readonly actorId: string
    readonly action: string
    readonly resource: string
    readonly clientIp: string
    readonly occurredAt?: string
    readonly lamport?: number
  }
  readonly sequenceNumber: number
  readonly timestamp: string
  readonly timestampMicroseconds: number
  readonly writer: string
  readonly sourcePosition: string | null
  readonly previousHash: string
  readonly chainText: string
  readonly jcsText: string
  readonly currentHash: string
  readonly leaf: string
  readonly leafHash: string
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/entries/entries.json', import.meta.url), 'utf8')) as {
  readonly entries: readonly EntryVector[]
  readonly wide: readonly EntryVector[]
  readonly roots: readonly string[]
}
const all = [...vectors.entries, ...vectors.wide]

function fieldsOf(vector: EntryVector): LeafFields {
  const { id, payload, occurredAt, lamport, actorId, action, resource, clientIp } = vector.submission
  return {
    sequenceNumber: vector.sequenceNumber,
    eventId: parseUuid(id),
    timestamp: vector.timestampMicroseconds,
    occurredAt: occurredAt === undefined ? null : parseOccurredAt(occurredAt),
    lamport: lamport ?? null,
    ...{ actorId, action, resource, clientIp },
    writer: vector.writer,
    sourcePosition: vector.sourcePosition,
    payloadHash: digest(encodeUtf8(jcs(payload))),
    currentHash: parseHex(vector.currentHash) as Hash,
  }
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
  return 'no error'
}

test.each(all)('entry $sequenceNumber has the texts, hashes and leaf of the vectors', (vector) => {
  const { payload, actorId, action, resource } = vector.submission
  expect(jcs(payload)).toBe(vector.jcsText)
  expect(chainText(payload)).toBe(vector.chainText)
  const n = vector.sequenceNumber as SequenceNumber
  expect(chainHash(n, actorId, action, resource, vector.chainText, vector.previousHash)).toBe(vector.currentHash)
  expect(formatMicroseconds(vector.timestampMicroseconds)).toBe(vector.timestamp)
  const leaf = encodeLeaf(fieldsOf(vector))
  expect(formatHex(leaf)).toBe(vector.leaf)
  expect(formatHex(leafHash(leaf))).toBe(vector.leafHash)
})

test.each(all)('the leaf of entry $sequenceNumber comes apart into its fields', (vector) => {
  expect(decodeLeaf(parseHex(vector.leaf))).toEqual(fieldsOf(vector))
})

test('the leaves of the vectors make one chain and the roots of the vectors', () => {
  let range: CompactRange = emptyRange
  let previous = genesisHash
  vectors.entries.forEach((vector, i) => {
    expect(vector.previousHash).toBe(previous)
    previous = vector.currentHash
    range = appendLeafHash(range, leafHash(parseHex(vector.leaf)))
    expect(formatHex(rangeRoot(range))).toBe(vectors.roots[i])
  })
})

const uint = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32))
const timeOf = fc.integer({ min: 0, max: microsecondsEnd - 1 })
const text = (pointsMax: number) => fc.string({ unit: 'binary', minLength: 1, maxLength: pointsMax })
const ascii = (length: number) => fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: length })
const bytesOf = (n: number) => fc.uint8Array({ minLength: n, maxLength: n })
const anyFields: fc.Arbitrary<LeafFields> = fc.record({
  sequenceNumber: uint,
  eventId: bytesOf(16),
  timestamp: timeOf,
  occurredAt: fc.option(timeOf),
  lamport: fc.option(uint),
  actorId: text(255),
  action: text(100),
  resource: text(255),
  clientIp: ascii(45),
  writer: ascii(1_024),
  sourcePosition: fc.option(ascii(1_024)),
  payloadHash: bytesOf(32).map((bytes) => bytes as Hash),
  currentHash: bytesOf(32).map((bytes) => bytes as Hash),
})

// Configured as DESIGN section 3 warns: a plain number above 2^32-1 would become a float, a small BigInt eight bytes.
const cborX = new Encoder({ useRecords: false, tagUint8Array: false })
const integer = (n: number | null) => (n === null || n < 2 ** 32 ? n : BigInt(n))

function encodeByCborX(fields: LeafFields): Uint8Array {
  const { sequenceNumber, eventId, timestamp, occurredAt, lamport, ...rest } = fields
  const numbers = [integer(timestamp), integer(occurredAt), integer(lamport)]
  const texts = [rest.actorId, rest.action, rest.resource, rest.clientIp, rest.writer, rest.sourcePosition]
  const items = [1, integer(sequenceNumber), eventId, ...numbers, ...texts, rest.payloadHash, rest.currentHash]
  return new Uint8Array(cborX.encode(items))
}

test('a leaf is what cbor-x encodes', () => {
  fc.assert(
    fc.property(anyFields, (fields) => {
      expect(formatHex(encodeLeaf(fields))).toBe(formatHex(encodeByCborX(fields)))
    }),
    { numRuns: 300 },
  )
})

test('any fields come back from their leaf', () => {
  fc.assert(
    fc.property(anyFields, (fields) => {
      expect(decodeLeaf(encodeLeaf(fields))).toEqual(fields)
    }),
    { numRuns: 300 },
  )
})

test('the largest entry fits in a leaf', () => {
  const wide = (points: number) => '\u{10ffff}'.repeat(points)
  const us = microsecondsEnd - 1
  const leaf = encodeLeaf({
    ...{ sequenceNumber: Number.MAX_SAFE_INTEGER, eventId: new Uint8Array(16), timestamp: us, occurredAt: us },
    ...{ lamport: Number.MAX_SAFE_INTEGER, actorId: wide(255), action: wide(100), resource: wide(255) },
    ...{ clientIp: 'f'.repeat(45), writer: 'w'.repeat(1_024), sourcePosition: 's'.repeat(1_024) },
    ...{ payloadHash: digest(encodeUtf8('')), currentHash: digest(encodeUtf8('')) },
  })
  expect(leaf.length).toBeLessThanOrEqual(leafBytesMax)
  expect(decodeLeaf(leaf).sourcePosition).toHaveLength(1_024)
})

const sample = encodeLeaf({
  ...{ sequenceNumber: 23, eventId: new Uint8Array(16).fill(7), timestamp: 1_795_314_600_000_000 },
  ...{ occurredAt: null, lamport: 5, actorId: 'a', action: 'b', resource: 'c', clientIp: '::', writer: 'w' },
  ...{ sourcePosition: null, payloadHash: digest(encodeUtf8('1')), currentHash: digest(encodeUtf8('2')) },
})

type Item = { readonly at: number; readonly headEnd: number; readonly end: number }

/** Where the array and each of its items stand; every length in `sample` is below 256. */
function itemsOf(leaf: Uint8Array): Item[] {
  const items: Item[] = [{ at: 0, headEnd: 1, end: leaf.length }]
  for (let at = 1; at < leaf.length; ) {
    const first = leaf[at] as number
    const width = first % 32 < 24 ? 0 : 2 ** ((first % 32) - 24)
    const headEnd = first >= 0xe0 ? at + 1 : at + 1 + width
    const length = width === 0 ? first % 32 : (leaf[at + 1] as number)
    const end = first >= 0x40 && first < 0x80 ? headEnd + length : headEnd
    items.push({ at, headEnd, end })
    at = end
  }
  return items
}

/** The same head, one to three widths longer than it needs to be. */
function longerHeads(head: Uint8Array): Uint8Array[] {
  const first = head[0] as number
  const value = first % 32 < 24 ? [first % 32] : [...head.subarray(1)]
  return [1, 2, 4, 8]
    .filter((width) => width > head.length - 1 && width >= value.length)
    .map((width) => Uint8Array.of(first - (first % 32) + 24 + Math.log2(width), ...padded(value, width)))
}

function padded(value: readonly number[], width: number): number[] {
  return [...new Array<number>(width - value.length).fill(0), ...value]
}

function replaced(leaf: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  return concatBytes(leaf.subarray(0, from), by, leaf.subarray(to))
}

test('a head that is longer than it must be is refused, at every item', () => {
  let tried = 0
  for (const { at, headEnd } of itemsOf(sample)) {
    if (sample[at] === 0xf6) continue
    for (const head of longerHeads(sample.subarray(at, headEnd))) {
      expect(codeOf(() => decodeLeaf(replaced(sample, at, headEnd, head)))).toBe('malformed-leaf')
      tried++
    }
  }
  expect(tried).toBe(46)
})

test('an indefinite length, a tag, a float, undefined or a negative number is refused, at every item', () => {
  for (const { at, headEnd, end } of itemsOf(sample)) {
    const type = (sample[at] as number) & 0xe0
    const body = sample.subarray(headEnd, end)
    const variants = [
      concatBytes(Uint8Array.of(type | 31), sample.subarray(at, end), Uint8Array.of(0xff)),
      concatBytes(Uint8Array.of(0xc0), sample.subarray(at, end)),
      concatBytes(Uint8Array.of(0xf7), body),
      Uint8Array.of(0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(0x20),
    ]
    for (const variant of variants) {
      expect(codeOf(() => decodeLeaf(replaced(sample, at, end, variant)))).toBe('malformed-leaf')
    }
  }
})

test('an integer written as a float is refused', () => {
  const float = new Uint8Array(9)
  new DataView(float.buffer).setFloat64(1, 1_795_314_600_000_000)
  float[0] = 0xfb
  const { at, end } = itemsOf(sample)[4] as Item
  expect(codeOf(() => decodeLeaf(replaced(sample, at, end, float)))).toBe('malformed-leaf')
})

test('a leaf with bytes missing or bytes left over is refused', () => {
  for (let length = 0; length < sample.length; length++) {
    expect(codeOf(() => decodeLeaf(sample.subarray(0, length)))).toBe('malformed-leaf')
  }
  expect(codeOf(() => decodeLeaf(concatBytes(sample, Uint8Array.of(0))))).toBe('malformed-leaf')
  expect(codeOf(() => decodeLeaf(concatBytes(sample, sample)))).toBe('malformed-leaf')
})

test('an array of 13 or 15 items is refused', () => {
  for (const head of [0x8d, 0x8f]) {
    const leaf = replaced(sample, 0, 1, Uint8Array.of(head))
    expect(codeOf(() => decodeLeaf(leaf))).toBe('malformed-leaf')
    expect(codeOf(() => decodeLeaf(concatBytes(leaf, Uint8Array.of(0xf6))))).toBe('malformed-leaf')
  }
})

test('text that is not UTF-8 is refused', () => {
  const { at, end } = itemsOf(sample)[7] as Item
  for (const bad of [
    [0x61, 0xff],
    [0x62, 0xc0, 0x80],
    [0x63, 0xed, 0xa0, 0x80],
    [0x61, 0x80],
  ]) {
    expect(codeOf(() => decodeLeaf(replaced(sample, at, end, Uint8Array.from(bad))))).toBe('malformed-leaf')
  }
})

test('a text of more than 1,024 bytes and a leaf above the limit are refused', () => {
  const { at, end } = itemsOf(sample)[7] as Item
  const long = concatBytes(Uint8Array.of(0x79, 0x04, 0x01), new Uint8Array(1_025).fill(0x61))
  expect(codeOf(() => decodeLeaf(replaced(sample, at, end, long)))).toBe('malformed-leaf')
  expect(codeOf(() => decodeLeaf(new Uint8Array(leafBytesMax + 1).fill(0x8e)))).toBe('malformed-leaf')
})

test('an integer above 2^53-1 and a length that the leaf has not are refused', () => {
  const { at, end } = itemsOf(sample)[2] as Item
  const large = Uint8Array.of(0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0)
  expect(codeOf(() => decodeLeaf(replaced(sample, at, end, large)))).toBe('malformed-leaf')
  const text = itemsOf(sample)[7] as Item
  const endless = Uint8Array.of(0x7b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
  expect(codeOf(() => decodeLeaf(replaced(sample, text.at, text.end, endless)))).toBe('malformed-leaf')
})

test('another format is not a malformed leaf: it could not be checked', () => {
  for (const format of [0, 2, 23]) {
    expect(codeOf(() => decodeLeaf(replaced(sample, 1, 2, Uint8Array.of(format))))).toBe('unknown-leaf-format')
  }
})

test('whatever bytes are decoded encode to the same bytes', () => {
  const mutated = fc.tuple(anyFields, fc.nat(), fc.nat({ max: 255 })).map(([fields, place, byte]) => {
    const leaf = encodeLeaf(fields)
    leaf[place % leaf.length] = byte
    return leaf
  })
  fc.assert(
    fc.property(mutated, (leaf) => {
      const code = codeOf(() => expect(encodeLeaf(decodeLeaf(leaf))).toEqual(leaf))
      expect(['no error', 'malformed-leaf', 'unknown-leaf-format']).toContain(code)
    }),
    { numRuns: 500 },
  )
})
