import { decodeUtf8, encodeUtf8, equalBytes, readAscii } from './bytes.ts'
import {
  copyInto,
  writeByteString,
  writeHead,
  writeNull,
  writeTextString,
  writeUnsigned,
  writeUnsignedOrNull,
} from './cbor.ts'
import { TlogError } from './errors.ts'
import { type Hash, hashBytes } from './hash.ts'

// A leaf is one deterministic CBOR array. Its middle (elements 5 to 13) is known before the entry has its place, so
// a server encodes it once on arrival; `encodeLeaf` is the same writers in a row, so that both cannot differ.

/** What the leaf of an entry records, element by element. Times are integer microseconds since 1970, UTC. */
export type LeafFields = {
  /** Place in the chain, from 1. */
  readonly sequenceNumber: number
  /** 16 bytes. */
  readonly eventId: Uint8Array
  readonly timestamp: number
  readonly occurredAt: number | null
  readonly lamport: number | null
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly clientIp: string
  readonly writer: string
  readonly sourcePosition: string | null
  /** SHA-256 of the JCS text of the payload. */
  readonly payloadHash: Hash
  /** Chain hash of this entry, as bytes. */
  readonly currentHash: Hash
}

/** The format in a leaf's first element: SHA-256 and the layout of this file. */
export const leafFormat = 1

/** No leaf is longer: two texts of 255 and one of 100 code points, 45 of address, two of 1,024 bytes, and the rest. */
export const leafBytesMax = 4_736

/** The longest head (elements 1 to 4) and the one length of a tail (element 14). */
export const leafHeadBytesMax = 37
export const leafTailBytes = 34

const arrayOf14 = 0x8e
const eventIdBytes = 16

/** The canonical bytes of an entry that the tree hashes. */
export function encodeLeaf(fields: LeafFields): Uint8Array {
  const out = new Uint8Array(leafBytesMax)
  let at = writeLeafHead(out, 0, fields.sequenceNumber, fields.eventId, 0, fields.timestamp)
  at = writeUnsignedOrNull(out, at, fields.occurredAt)
  at = writeUnsignedOrNull(out, at, fields.lamport)
  for (const text of [fields.actorId, fields.action, fields.resource, fields.clientIp, fields.writer]) {
    at = writeText(out, at, text)
  }
  at = fields.sourcePosition === null ? writeNull(out, at) : writeText(out, at, fields.sourcePosition)
  at = writeByteString(out, at, fields.payloadHash, 0, hashBytes)
  at = writeLeafTail(out, at, fields.currentHash, 0)
  return out.slice(0, at)
}

/** Elements 1 to 4: format, sequence number, event id (16 bytes at `ids[idStart]`), timestamp. At most 37 bytes. */
export function writeLeafHead(
  out: Uint8Array,
  at: number,
  sequenceNumber: number,
  ids: Uint8Array,
  idStart: number,
  timestamp: number,
): number {
  out[at] = arrayOf14
  out[at + 1] = leafFormat
  let to = writeUnsigned(out, at + 2, sequenceNumber)
  to = writeByteString(out, to, ids, idStart, idStart + eventIdBytes)
  return writeUnsigned(out, to, timestamp)
}

/** Element 14: the chain hash, 32 bytes at `hashes[start]`. */
export function writeLeafTail(out: Uint8Array, at: number, hashes: Uint8Array, start: number): number {
  return copyInto(out, writeHead(out, at, 2, hashBytes), hashes, start, start + hashBytes)
}

/**
 * Takes a leaf apart. Throws `unknown-leaf-format` when the first element is not ours (such a leaf could not be
 * checked; that is no violation) and `malformed-leaf` unless encoding the result gives the same bytes again.
 */
export function decodeLeaf(leaf: Uint8Array): LeafFields {
  const fields = readLeaf(leaf)
  // One entry has one spelling: whatever is not the shortest or has bytes left over does not survive this.
  if (leaf.length > leafBytesMax || !equalBytes(encodeLeaf(fields), leaf)) {
    throw new TlogError('malformed-leaf', `leaf of ${leaf.length} bytes: not in its canonical encoding`)
  }
  return fields
}

/** `decodeLeaf` of a leaf that was just encoded: errors as there, but another spelling is not noticed. */
export function readLeaf(leaf: Uint8Array): LeafFields {
  const reader = new LeafReader(leaf)
  reader.head(4)
  const format = reader.unsigned()
  if (format !== leafFormat)
    throw new TlogError('unknown-leaf-format', `leaf format: got ${format}, want ${leafFormat}`)
  return {
    sequenceNumber: reader.unsigned(),
    eventId: reader.bytes(eventIdBytes),
    timestamp: reader.unsigned(),
    occurredAt: reader.orNull(() => reader.unsigned()),
    lamport: reader.orNull(() => reader.unsigned()),
    actorId: reader.text(),
    action: reader.text(),
    resource: reader.text(),
    clientIp: reader.text(),
    writer: reader.text(),
    sourcePosition: reader.orNull(() => reader.text()),
    payloadHash: reader.bytes(hashBytes) as Hash,
    currentHash: reader.bytes(hashBytes) as Hash,
  }
}

function writeText(out: Uint8Array, at: number, text: string): number {
  const bytes = encodeUtf8(text)
  if (bytes.length > 1_024) throw new TlogError('malformed-leaf', `text of ${bytes.length} bytes: at most 1,024`)
  return writeTextString(out, at, bytes, 0, bytes.length)
}

class LeafReader {
  readonly #leaf: Uint8Array
  #at = 0

  constructor(leaf: Uint8Array) {
    this.#leaf = leaf
  }

  /** Argument of the next head, which must be of major type `major`. */
  head(major: number): number {
    const first = this.#byte()
    if (first >> 5 !== major) throw this.#malformed(`major type ${first >> 5}, want ${major}`)
    const width = first & 31
    if (width < 24) return width
    if (width > 27) throw this.#malformed(`head ${first}`)
    let n = 0
    for (let i = 0; i < 2 ** (width - 24); i++) n = n * 256 + this.#byte()
    if (!Number.isSafeInteger(n)) throw this.#malformed('integer above 2^53-1')
    return n
  }

  unsigned(): number {
    return this.head(0)
  }

  bytes(length: number): Uint8Array {
    return this.#take(length)
  }

  text(): string {
    try {
      return this.#takeText()
    } catch (cause) {
      if (cause instanceof TlogError) throw cause
      throw new TlogError('malformed-leaf', 'leaf: text is not UTF-8', { cause })
    }
  }

  orNull<T>(read: () => T): T | null {
    if (this.#leaf[this.#at] !== 0xf6) return read()
    this.#at++
    return null
  }

  #take(want: number): Uint8Array {
    const length = this.head(2)
    if (length !== want) throw this.#malformed(`${length} bytes, want ${want}`)
    return this.#leaf.slice(this.#advance(length), this.#at)
  }

  #takeText(): string {
    const start = this.#advance(this.head(3))
    for (let i = start; i < this.#at; i++) {
      if ((this.#leaf[i] as number) >= 0x80) return decodeUtf8(this.#leaf.subarray(start, this.#at))
    }
    return readAscii(this.#leaf, start, this.#at)
  }

  /** Steps over `length` bytes and returns where they begin. */
  #advance(length: number): number {
    if (this.#at + length > this.#leaf.length) throw this.#malformed('truncated')
    this.#at += length
    return this.#at - length
  }

  #byte(): number {
    const byte = this.#leaf[this.#at++]
    if (byte === undefined) throw this.#malformed('truncated')
    return byte
  }

  #malformed(reason: string): TlogError {
    return new TlogError('malformed-leaf', `leaf, byte ${this.#at}: ${reason}`)
  }
}
