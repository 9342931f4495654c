import { isUtf8 } from 'node:buffer'
import { decodeUtf8 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { recordBytesMax } from './record.ts'

// A record in CBOR (RFC 8949) is written out as JSON, byte for byte what a strict JSON writer would send, and then goes
// the way of all records: whatever is refused there is refused here, for the same reason, with the same pointer. What
// CBOR has and JSON has not is refused here.

/** Deeper nesting is not followed: what is behind it cannot be told apart. Records may have 65 levels. */
const depthMax = 1_024
const bufferBytesMin = 65_536
const bufferBytesKept = 1_048_576
/** No number, literal or punctuation takes more. */
const pieceBytesMax = 32

const [unsigned, negative, byteString, textString, array, map, tag] = [0, 1, 2, 3, 4, 5, 6] as const
const indefinite = -1
const breakByte = 0xff

/** A container that is open. */
type Level = {
  isMap: boolean
  /** Items that are still to come, of a map names and values; `indefinite` up to a break. */
  left: number
  /** Items so far. */
  count: number
  /** Of a map: the text of the name that was read last. */
  nameStart: number
  nameEnd: number
}

/** Writes CBOR as JSON. Reused: what was written is overwritten by the next value. */
export class CborToJson {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #at = 0
  #end = 0
  #out: Buffer = Buffer.alloc(bufferBytesMin)
  #length = 0
  readonly #levels: Level[] = []
  #depth = 0
  #violation: TlogError | undefined

  /**
   * Reads the item at `start` and returns the position behind it. Throws `malformed-cbor` where the bytes are no CBOR, or
   * are nested deeper than 1,024 levels. What is CBOR and cannot become JSON is kept for `json`.
   */
  read(bytes: Uint8Array, start: number, end: number): number {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = start
    this.#end = end
    this.#length = 0
    this.#depth = 0
    this.#violation = undefined
    if (this.#out.length > bufferBytesKept) this.#out = Buffer.alloc(bufferBytesMin)
    this.#item()
    while (this.#depth > 0) this.#next(this.#levels[this.#depth - 1] as Level)
    return this.#at
  }

  /** The item that was read last; throws `json-not-strict` with its pointer where it has something that JSON has not. */
  json(): Uint8Array {
    if (this.#violation !== undefined) throw this.#violation
    return this.#out.subarray(0, this.#length)
  }

  /** The next item of the innermost container, or its end. */
  #next(level: Level): void {
    if (this.#endsHere(level)) {
      this.#write(level.isMap ? '}' : ']')
      this.#depth--
      return
    }
    const isName = level.isMap && level.count % 2 === 0
    if (level.count > 0) this.#write(level.isMap && !isName ? ':' : ',')
    level.count++
    if (level.left !== indefinite) level.left--
    if (isName) this.#name(level)
    else this.#item()
  }

  #endsHere(level: Level): boolean {
    if (level.left !== indefinite) return level.left === 0
    if (this.#byte(this.#at) !== breakByte) return false
    if (level.isMap && level.count % 2 === 1) throw this.#malformed('a break between a name and its value')
    this.#at++
    return true
  }

  #name(level: Level): void {
    const start = this.#at
    if (this.#byte(start) >> 5 !== textString) {
      this.#refuse('a member name that is no text')
      // Names of other kinds may be containers: they are gone through like values.
      level.nameStart = level.nameEnd = 0
      this.#item()
      return
    }
    level.nameStart = this.#length
    this.#item()
    level.nameEnd = this.#length
  }

  #item(): void {
    this.#skipTags()
    const start = this.#at
    const major = this.#byte(start) >> 5
    if (major === 7) {
      this.#simple(start)
      return
    }
    const argument = this.#argument(major)
    if (major === unsigned || major === negative) this.#integer(major, argument)
    else if (major === textString) this.#text(argument)
    else if (major === array || major === map) this.#open(major === map, argument)
    else {
      this.#refuse('a byte string, which JSON has not')
      this.#chunks(byteString, argument, () => {})
    }
  }

  #skipTags(): void {
    while (this.#byte(this.#at) >> 5 === tag) {
      this.#refuse('a tag, which JSON has not')
      this.#argument(tag)
    }
  }

  /** Of the head at the place; moves behind it. Above 2^53 it is not exact. */
  #argument(major: number): number {
    const info = this.#byte(this.#at++) & 0x1f
    if (info < 24) return info
    if (info === 31 && major >= byteString && major <= map) return indefinite
    if (info > 27) throw this.#malformed('a head that is none')
    const width = 2 ** (info - 24)
    const at = this.#take(width)
    if (width === 1) return this.#view.getUint8(at)
    if (width === 2) return this.#view.getUint16(at)
    if (width === 4) return this.#view.getUint32(at)
    return this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4)
  }

  #integer(major: number, argument: number): void {
    const n = major === unsigned ? argument : -1 - argument
    if (!Number.isSafeInteger(n)) this.#refuse('an integer beyond 2^53-1')
    this.#write(String(n))
  }

  #simple(start: number): void {
    const info = this.#byte(start) & 0x1f
    this.#at++
    if (info === 20) this.#write('false')
    else if (info === 21) this.#write('true')
    else if (info === 22) this.#write('null')
    else if (info >= 25 && info <= 27) this.#float(info)
    else if (info < 24) this.#refuse(info === 23 ? 'undefined, which JSON has not' : 'a simple value that is none')
    else if (info === 24 && this.#byte(this.#take(1)) >= 32) this.#refuse('a simple value that is none')
    else throw this.#malformed(info === 31 ? 'a break that ends nothing' : 'a head that is none')
  }

  #float(info: number): void {
    const at = this.#take(2 ** (info - 24))
    const n = info === 27 ? this.#view.getFloat64(at) : info === 26 ? this.#view.getFloat32(at) : halfAt(this.#view, at)
    if (!Number.isFinite(n)) this.#refuse(`${n}, which JSON has not`)
    // Minus zero becomes 0 on every way.
    this.#write(String(n))
  }

  #text(length: number): void {
    this.#write('"')
    if (length === indefinite) this.#chunks(textString, length, (start, end) => this.#textChunk(start, end))
    else {
      const start = this.#take(length)
      this.#textChunk(start, start + length)
    }
    this.#write('"')
  }

  /** The pieces of a string: one, or up to a break those of the same kind. */
  #chunks(major: number, length: number, take: (start: number, end: number) => void): void {
    if (length !== indefinite) {
      const start = this.#take(length)
      take(start, start + length)
      return
    }
    while (this.#byte(this.#at) !== breakByte) {
      if (this.#byte(this.#at) >> 5 !== major) throw this.#malformed('a string in pieces of another kind')
      const piece = this.#argument(major)
      if (piece === indefinite) throw this.#malformed('a string in pieces within another')
      const start = this.#take(piece)
      take(start, start + piece)
    }
    this.#at++
  }

  /** Most texts are ASCII that stands in JSON as it is: it is checked and copied in one go. */
  #textChunk(start: number, end: number): void {
    if (!this.#hasRoom(end - start)) return
    const [bytes, out] = [this.#bytes, this.#out]
    let to = this.#length
    for (let at = start; at < end; at++) {
      const byte = bytes[at] as number
      if (byte < 0x20 || byte >= 0x80 || byte === 0x22 || byte === 0x5c) {
        this.#anyTextChunk(start, end)
        return
      }
      out[to++] = byte
    }
    this.#length = to
  }

  #anyTextChunk(start: number, end: number): void {
    const chunk = this.#bytes.subarray(start, end)
    if (!isUtf8(chunk)) this.#refuse('a text that is not UTF-8')
    else this.#copy(Buffer.from(JSON.stringify(decodeUtf8(chunk)).slice(1, -1)))
  }

  #open(isMap: boolean, count: number): void {
    const left = isMap && count !== indefinite ? 2 * count : count
    if (left > this.#end - this.#at) throw this.#malformed('the bytes end inside an item')
    if (this.#depth === depthMax) throw this.#malformed(`nested deeper than ${depthMax} levels`)
    this.#write(isMap ? '{' : '[')
    const level = this.#levels[this.#depth]
    const opened = { isMap, left, count: 0, nameStart: 0, nameEnd: 0 }
    if (level === undefined) this.#levels.push(opened)
    else Object.assign(level, opened)
    this.#depth++
  }

  #byte(at: number): number {
    if (at >= this.#end) throw this.#malformed('the bytes end inside an item')
    return this.#bytes[at] as number
  }

  /** Position of the next `length` bytes; moves behind them. */
  #take(length: number): number {
    if (length > this.#end - this.#at) throw this.#malformed('the bytes end inside an item')
    this.#at += length
    return this.#at - length
  }

  #write(ascii: string): void {
    if (!this.#hasRoom(pieceBytesMax)) return
    for (let i = 0; i < ascii.length; i++) this.#out[this.#length++] = ascii.charCodeAt(i)
  }

  #copy(bytes: Uint8Array): void {
    if (!this.#hasRoom(bytes.length)) return
    this.#out.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Nothing is written for a record that is refused already. */
  #hasRoom(bytes: number): boolean {
    if (this.#violation !== undefined) return false
    const length = this.#length + bytes
    if (length > recordBytesMax + pieceBytesMax) {
      const detail = `submission: more than ${recordBytesMax} bytes as JSON`
      this.#violation = new TlogError('malformed-submission', detail, { pointer: '' })
      return false
    }
    if (length > this.#out.length) {
      const larger = Buffer.alloc(Math.max(length, 2 * this.#out.length))
      larger.set(this.#out.subarray(0, this.#length))
      this.#out = larger
    }
    return true
  }

  #refuse(reason: string): void {
    if (this.#violation !== undefined) return
    const pointer = this.#pointer()
    const detail = `CBOR: ${reason}, at ${JSON.stringify(pointer.slice(0, 200))}`
    this.#violation = new TlogError('json-not-strict', detail, { pointer })
  }

  /** JSON pointer (RFC 6901) of the item that is being read. */
  #pointer(): string {
    const open = this.#levels.slice(0, this.#depth)
    return open.map((level) => (level.isMap ? this.#nameOf(level) : `/${level.count - 1}`)).join('')
  }

  #nameOf({ nameStart, nameEnd, count }: Level): string {
    // A name that is being read is not known yet: the map itself is the place.
    if (count % 2 === 1 || nameEnd <= nameStart) return ''
    const name = JSON.parse(this.#out.toString('utf8', nameStart, nameEnd)) as string
    return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  }

  #malformed(reason: string): TlogError {
    return new TlogError('malformed-cbor', `CBOR, byte ${this.#at}: ${reason}`)
  }
}

/** RFC 8949 appendix D. */
function halfAt(view: DataView, at: number): number {
  const bits = view.getUint16(at)
  const exponent = (bits >> 10) & 0x1f
  const mantissa = bits & 0x3ff
  const sign = bits >= 0x8000 ? -1 : 1
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (mantissa + 1_024) * 2 ** (exponent - 25)
}
