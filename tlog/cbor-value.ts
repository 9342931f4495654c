import { concatBytes, decodeUtf8, encodeUtf8, formatHex } from './bytes.ts'
import { writeHead } from './cbor.ts'
import { TlogError } from './errors.ts'

// CBOR (RFC 8949) as COSE and our own files need it: integers to 2^53-1, byte strings, text, arrays, maps by integers or
// text, null, true, false, and tags. No floating point numbers, no indefinite lengths.

export type CborValue = number | string | boolean | null | Uint8Array | readonly CborValue[] | CborMap | CborTag

export type CborMap = ReadonlyMap<number | string, CborValue>

export class CborTag {
  readonly tag: number
  readonly value: CborValue

  constructor(tag: number, value: CborValue) {
    this.tag = tag
    this.value = value
  }
}

/** What nests deeper is refused; nothing of ours has more than 8. */
const depthMax = 16

/** Deterministic encoding (RFC 8949 4.2.1): shortest heads, keys in the bytewise order of their encodings. */
export function encodeCbor(value: CborValue): Uint8Array {
  if (value === null) return Uint8Array.of(0xf6)
  if (typeof value === 'boolean') return Uint8Array.of(value ? 0xf5 : 0xf4)
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value)
  if (typeof value === 'string') return withHead(3, encodeUtf8(value))
  if (value instanceof Uint8Array) return withHead(2, value)
  if (value instanceof CborTag) return concatBytes(head(6, value.tag), encodeCbor(value.value))
  if (isArray(value)) return concatBytes(head(4, value.length), ...value.map(encodeCbor))
  const members = [...value].map(([key, member]) => ({ key: encodeCbor(key), value: encodeCbor(member) }))
  members.sort((a, b) => (formatHex(a.key) < formatHex(b.key) ? -1 : 1))
  return concatBytes(head(5, members.length), ...members.flatMap(({ key, value: of }) => [key, of]))
}

/**
 * Reads one item and nothing behind it; `malformed-cbor`. Heads must be the shortest ones and no key may come twice, but
 * maps may have another order: what others signed is checked as they wrote it.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader = new CborReader(bytes)
  const value = reader.read(0)
  reader.end()
  return value
}

class CborReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw this.#malformed('bytes behind the end')
  }

  read(depth: number): CborValue {
    if (depth > depthMax) throw this.#malformed(`nested more than ${depthMax} deep`)
    const first = this.#byte()
    const major = first >> 5
    if (major === 7) return this.#simple(first)
    const n = this.#argument(first & 31)
    if (major === 0) return n
    if (major === 1) return -1 - n
    if (major === 2) return new Uint8Array(this.#take(n))
    if (major === 3) return this.#text(n)
    if (major === 4) return this.#array(n, depth)
    return major === 5 ? this.#map(n, depth) : new CborTag(n, this.read(depth + 1))
  }

  #array(length: number, depth: number): readonly CborValue[] {
    this.#checkCount(length)
    return Array.from({ length }, () => this.read(depth + 1))
  }

  #map(length: number, depth: number): CborMap {
    this.#checkCount(2 * length)
    const map = new Map<number | string, CborValue>()
    for (let i = 0; i < length; i++) {
      const key = this.read(depth + 1)
      if (typeof key !== 'number' && typeof key !== 'string') throw this.#malformed('key is no integer or text')
      if (map.has(key)) throw this.#malformed(`key ${JSON.stringify(key).slice(0, 80)} comes twice`)
      map.set(key, this.read(depth + 1))
    }
    return map
  }

  #simple(first: number): CborValue {
    if (first === 0xf6) return null
    if (first === 0xf5 || first === 0xf4) return first === 0xf5
    throw this.#malformed(`item ${first.toString(16)}`)
  }

  #text(length: number): string {
    try {
      return decodeUtf8(this.#take(length))
    } catch (cause) {
      if (cause instanceof TlogError) throw cause
      throw new TlogError('malformed-cbor', 'CBOR: text is not UTF-8', { cause })
    }
  }

  #argument(width: number): number {
    if (width < 24) return width
    if (width > 27) throw this.#malformed('indefinite or reserved length')
    const bytes = 2 ** (width - 24)
    let n = 0
    for (let i = 0; i < bytes; i++) n = n * 256 + this.#byte()
    if (!Number.isSafeInteger(n)) throw this.#malformed('integer above 2^53-1')
    const least = width === 24 ? 24 : 256 ** (bytes / 2)
    if (n < least) throw this.#malformed(`${n} in ${bytes} bytes, not the shortest head`)
    return n
  }

  /** Each item has a byte at least: nothing is made for what cannot come. */
  #checkCount(items: number): void {
    if (items > this.#bytes.length - this.#at) throw this.#malformed('truncated')
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw this.#malformed('truncated')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw this.#malformed('truncated')
    return byte
  }

  #malformed(reason: string): TlogError {
    return new TlogError('malformed-cbor', `CBOR, byte ${this.#at}: ${reason}`)
  }
}

function head(major: number, n: number): Uint8Array {
  if (!Number.isSafeInteger(n) || n < 0) throw new TlogError('out-of-range', `CBOR integer ${n}`)
  const bytes = new Uint8Array(9)
  return bytes.slice(0, writeHead(bytes, 0, major, n))
}

function withHead(major: number, bytes: Uint8Array): Uint8Array {
  return concatBytes(head(major, bytes.length), bytes)
}

function isArray(value: CborValue): value is readonly CborValue[] {
  return Array.isArray(value)
}
