import { writeBase64, writeHex } from '../../tlog/bytes.ts'
import { copyInto } from '../../tlog/cbor.ts'
import type { Utf8 } from './submission.ts'

// Answers are written as bytes, straight from where the bytes of an entry lie. As a string of forty pieces that is
// flattened, measured and encoded again, an answer took 20 kB of garbage.

/** Answers lie one behind the other in buffers of this size; a buffer is garbage when all of its answers are sent. */
const slabBytes = 65_536
let slab: Uint8Array<ArrayBuffer> = new Uint8Array(0)
let slabAt = 0

const quote = 0x22
const backslash = 0x5c
/** A control character: \u00xx. */
export const escapeBytesMax = 6

/** Writes one JSON text as UTF-8 bytes, piece by piece. Nothing else may be written until `take`. */
export class JsonWriter {
  readonly #out: Uint8Array<ArrayBuffer>
  #at: number

  /** `bytesMax`: no more will be written. */
  constructor(bytesMax: number) {
    if (slabAt + bytesMax > slab.length) {
      slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytesMax))
      slabAt = 0
    }
    this.#out = slab
    this.#at = slabAt
  }

  /** What was written. */
  take(): Uint8Array<ArrayBuffer> {
    const start = slabAt
    slabAt = this.#at
    return this.#out.subarray(start, this.#at)
  }

  /** JSON that was made elsewhere. */
  raw(bytes: Uint8Array, start: number = 0, end: number = bytes.length): void {
    this.#at = copyInto(this.#out, this.#at, bytes, start, end)
  }

  /** An ASCII text, as it is. */
  ascii(text: string): void {
    for (let i = 0; i < text.length; i++) this.#out[this.#at++] = text.charCodeAt(i)
  }

  /** A non-negative integer. */
  integer(n: number): void {
    let digits = 1
    for (let rest = n; rest >= 10; rest = Math.floor(rest / 10)) digits++
    const end = this.#at + digits
    let rest = n
    for (let at = end; at > this.#at; rest = Math.floor(rest / 10)) this.#out[--at] = 0x30 + (rest % 10)
    this.#at = end
  }

  /** A string: the text, quoted, with the escapes of JSON.stringify. */
  string({ bytes, start, end }: Utf8): void {
    const out = this.#out
    out[this.#at++] = quote
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number
      if (byte >= 0x20 && byte !== quote && byte !== backslash) out[this.#at++] = byte
      else this.ascii(JSON.stringify(String.fromCharCode(byte)).slice(1, -1))
    }
    out[this.#at++] = quote
  }

  /** Lower-case hex of bytes[start, end), without quotes. */
  hex(bytes: Uint8Array, start: number, end: number): void {
    this.#at = writeHex(this.#out, this.#at, bytes, start, end)
  }

  /** RFC 4648 section 4, with padding, without quotes. */
  base64(bytes: Uint8Array): void {
    this.#at = writeBase64(this.#out, this.#at, bytes)
  }
}
