import { TlogError } from '../../tlog/errors.ts'
import { parseOccurredAt } from '../../tlog/time.ts'

// Reading and writing of the little ASN.1 that time stamps need (X.690). Read are DER and, in what wraps other things,
// the indefinite lengths and cut strings of BER that some authorities send; written is DER.

export class DerError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(`DER: ${message}`, options)
    this.name = 'DerError'
  }
}

/** An element. `tag` is its first byte; tags of more than one byte do not occur. */
export type DerElement = {
  readonly tag: number
  /** What it holds, without head and end. */
  readonly content: Uint8Array
  /** All of its bytes. */
  readonly raw: Uint8Array
}

export const derTag: Readonly<Record<DerTagName, number>> = {
  ...{ boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, null: 0x05, oid: 0x06 },
  ...{ generalizedTime: 0x18, sequence: 0x30, set: 0x31, cutOctetString: 0x24 },
}

type DerTagName =
  | 'boolean'
  | 'integer'
  | 'bitString'
  | 'octetString'
  | 'null'
  | 'oid'
  | 'generalizedTime'
  | 'sequence'
  | 'set'
  | 'cutOctetString'

const constructed = 0x20
const depthMax = 32

/** The one element that the bytes are. */
export function readDer(bytes: Uint8Array): DerElement {
  const { element, end } = elementAt(bytes, 0, 0)
  if (end !== bytes.length) throw new DerError(`${bytes.length - end} bytes behind the end`)
  return element
}

/** The elements that it holds. */
export function derParts({ tag, content }: DerElement): readonly DerElement[] {
  if ((tag & constructed) === 0) throw new DerError(`element ${hex(tag)} holds no others`)
  const parts: DerElement[] = []
  for (let at = 0; at < content.length; ) {
    const { element, end } = elementAt(content, at, 0)
    parts.push(element)
    at = end
  }
  return parts
}

/** The element, which must have this tag. */
export function expectDer(element: DerElement | undefined, tag: number, what: string): DerElement {
  if (element?.tag === tag) return element
  throw new DerError(`${what}: want element ${hex(tag)}, got ${element === undefined ? 'none' : hex(element.tag)}`)
}

/** Bytes of an OCTET STRING, also of one that was cut in pieces. */
export function derOctets(element: DerElement | undefined, what: string): Uint8Array {
  if (element?.tag !== derTag.cutOctetString) return expectDer(element, derTag.octetString, what).content
  return Buffer.concat(derParts(element).map((part) => derOctets(part, what)))
}

/** A whole number of any size; DER has one spelling of each. */
export function derInteger(element: DerElement | undefined, what: string): bigint {
  const { content } = expectDer(element, derTag.integer, what)
  const [first, second] = content
  if (first === undefined) throw new DerError(`${what}: an integer of no bytes`)
  const isPadded = second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
  if (isPadded) throw new DerError(`${what}: an integer with bytes too many`)
  return BigInt.asIntN(8 * content.length, BigInt(`0x${Buffer.from(content).toString('hex')}`))
}

/** In dots. */
export function derOid(element: DerElement | undefined, what: string): string {
  const { content } = expectDer(element, derTag.oid, what)
  const arcs: number[] = []
  let arc = 0
  for (const [i, byte] of content.entries()) {
    if (arc === 0 && byte === 0x80) throw new DerError(`${what}: an object identifier with bytes too many`)
    arc = arc * 128 + (byte & 0x7f)
    if (!Number.isSafeInteger(arc)) throw new DerError(`${what}: an object identifier with a number too large`)
    if (byte < 0x80) {
      arcs.push(arc)
      arc = 0
    } else if (i === content.length - 1) throw new DerError(`${what}: an object identifier that does not end`)
  }
  const [first] = arcs
  if (first === undefined) throw new DerError(`${what}: an object identifier of no bytes`)
  const top = Math.min(2, Math.floor(first / 40))
  return [top, first - 40 * top, ...arcs.slice(1)].join('.')
}

/** Microseconds since 1970 of a GeneralizedTime in UTC (RFC 3161 2.4.2: a fraction without zeros at its end). */
export function derTime(element: DerElement | undefined, what: string): number {
  const { content } = expectDer(element, derTag.generalizedTime, what)
  const text = Buffer.from(content).toString('latin1')
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)([0-5]\d)(?:\.(\d*[1-9]))?Z$/.exec(text)
  if (match === null) throw new DerError(`${what}: time ${JSON.stringify(text.slice(0, 40))}`)
  const [, year, month, day, hour, minute, second, fraction = ''] = match
  const digits = fraction.slice(0, 6)
  try {
    return parseOccurredAt(`${year}-${month}-${day}T${hour}:${minute}:${second}${digits === '' ? '' : `.${digits}`}Z`)
  } catch (cause) {
    if (!(cause instanceof TlogError)) throw cause
    throw new DerError(`${what}: time ${JSON.stringify(text)}`, { cause })
  }
}

export function writeDer(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(contents)
  const { length } = content
  if (length < 0x80) return Buffer.concat([Uint8Array.of(tag, length), content])
  const bytes = length < 0x100 ? [length] : [length >> 8, length & 0xff]
  if (length >= 0x10000) throw new DerError(`element of ${length} bytes`)
  return Buffer.concat([Uint8Array.of(tag, 0x80 + bytes.length, ...bytes), content])
}

/** Of a number that is not negative, big endian. */
export function writeDerInteger(magnitude: Uint8Array): Uint8Array {
  const first = magnitude.findIndex((byte) => byte !== 0)
  const digits = first < 0 ? Uint8Array.of(0) : magnitude.subarray(first)
  const isHigh = (digits[0] as number) >= 0x80
  return isHigh ? writeDer(derTag.integer, Uint8Array.of(0), digits) : writeDer(derTag.integer, digits)
}

export function writeDerOid(dotted: string): Uint8Array {
  const [top = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return writeDer(derTag.oid, Uint8Array.from([40 * top + second, ...rest].flatMap(base128)))
}

function base128(n: number): readonly number[] {
  const digits = [n % 128]
  for (let rest = Math.floor(n / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(0x80 + (rest % 128))
  return digits
}

type Found = { readonly element: DerElement; readonly end: number }

function elementAt(bytes: Uint8Array, start: number, depth: number): Found {
  const [tag, first] = [bytes[start], bytes[start + 1]]
  if (tag === undefined || first === undefined) throw new DerError('cut off')
  if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of several bytes')
  if (depth > depthMax) throw new DerError('nested too deep')
  if (first === 0x80) return indefiniteAt(bytes, start, tag, depth)
  const { length, at } = lengthAt(bytes, start + 1, first)
  const end = at + length
  if (end > bytes.length) throw new DerError('cut off')
  return { element: { tag, content: bytes.subarray(at, end), raw: bytes.subarray(start, end) }, end }
}

function lengthAt(bytes: Uint8Array, at: number, first: number): { readonly length: number; readonly at: number } {
  if (first < 0x80) return { length: first, at: at + 1 }
  const count = first - 0x80
  if (count > 4) throw new DerError('a length of more than 4 bytes')
  let length = 0
  for (let i = 1; i <= count; i++) length = length * 256 + (bytes[at + i] ?? 0)
  if (at + count >= bytes.length) throw new DerError('cut off')
  if (length < 0x80 || length < 256 ** (count - 1)) throw new DerError('a length with bytes too many')
  return { length, at: at + 1 + count }
}

/** BER: elements until two zero bytes. */
function indefiniteAt(bytes: Uint8Array, start: number, tag: number, depth: number): Found {
  if ((tag & constructed) === 0) throw new DerError(`element ${hex(tag)} of indefinite length`)
  for (let at = start + 2; ; ) {
    if (bytes[at] === 0 && bytes[at + 1] === 0) {
      const end = at + 2
      return { element: { tag, content: bytes.subarray(start + 2, at), raw: bytes.subarray(start, end) }, end }
    }
    at = elementAt(bytes, at, depth + 1).end
  }
}

function hex(tag: number): string {
  return tag.toString(16).padStart(2, '0')
}
