import { encodeUtf8, formatHex } from './bytes.ts'
import { TlogError } from './errors.ts'
import { hashBytes, nobleSha256, type Sha256 } from './hash.ts'

// UUIDs (RFC 9562) as 16 bytes. Clients' ids are version 7; ids that the server derives for foreign ids are version 8,
// so that neither kind can occupy the other's.

export const uuidBytes = 16

const textLength = 36
const unixMsMax = 2 ** 48 - 1
const foreignPrefix = 'dendrolog/id/1'
const dash = 0x2d
// Where the byte's first digit stands in 8-4-4-4-12.
const digitAt = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]
const dashAt = [8, 13, 18, 23]

/** 16 bytes of a UUID of any version in the 8-4-4-4-12 form, any case; no braces, no urn: prefix. `malformed-uuid`. */
export function parseUuid(text: string): Uint8Array {
  if (text.length !== textLength || dashAt.some((at) => text.charCodeAt(at) !== dash)) throw malformed(text)
  const out = new Uint8Array(uuidBytes)
  for (let i = 0; i < uuidBytes; i++) {
    const at = digitAt[i] as number
    const high = hexDigit(text.charCodeAt(at))
    const low = hexDigit(text.charCodeAt(at + 1))
    if (high < 0 || low < 0) throw malformed(text)
    out[i] = high * 16 + low
  }
  return out
}

/** 16 bytes of a UUIDv7, RFC 9562 5.7; `malformed-uuid` on another form, version or variant. */
export function parseUuidV7(text: string): Uint8Array {
  const bytes = parseUuid(text)
  if (uuidVersion(bytes) !== 7) throw malformed(text, 'want a UUIDv7 (RFC 9562)')
  return bytes
}

/** Lower-case 8-4-4-4-12 text of 16 bytes; `malformed-uuid` on another length. */
export function formatUuid(bytes: Uint8Array): string {
  if (bytes.length !== uuidBytes) throw new TlogError('malformed-uuid', `UUID: got ${bytes.length} bytes`)
  const hex = formatHex(bytes)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The version of a UUID of 16 bytes, 0 to 15; -1 where its variant is not that of RFC 9562. */
export function uuidVersion(bytes: Uint8Array): number {
  return (bytes[8] as number) >> 6 === 2 ? (bytes[6] as number) >> 4 : -1
}

/** The first 48 bits of the UUID at bytes[start] as milliseconds since 1970-01-01T00:00:00Z. Meaningful for version 7 and for `foreignUuid`. */
export function uuidUnixMs(bytes: Uint8Array, start = 0): number {
  let ms = 0
  for (let i = start; i < start + 6; i++) ms = ms * 256 + (bytes[i] as number)
  return ms
}

/**
 * 16 bytes of the UUIDv8 that names another system's event. 48 bits: `unixMs`, the source's time, 0 to 2^48-1. Then
 * the first 74 bits of SHA-256("dendrolog/id/1" 0 writer 0 source 0 foreign id), 12 before and 62 after the variant.
 * `malformed-uuid` on U+0000 in writer or source, or lone surrogates: two ids could hash the same bytes. `out-of-range`.
 */
export function foreignUuid(
  unixMs: number,
  writer: string,
  source: string,
  foreignId: string,
  hash: Sha256 = nobleSha256,
): Uint8Array {
  if (!Number.isInteger(unixMs) || unixMs < 0 || unixMs > unixMsMax) {
    throw new TlogError('out-of-range', `UUID time: got ${unixMs} ms`)
  }
  const id = new Uint8Array(uuidBytes)
  for (let i = 5, rest = unixMs; i >= 0; i--, rest = Math.floor(rest / 256)) id[i] = rest % 256
  setRandomBits(id, foreignDigest(writer, source, foreignId, hash))
  return id
}

function foreignDigest(writer: string, source: string, foreignId: string, hash: Sha256): Uint8Array {
  const text = `${foreignPrefix}\0${writer}\0${source}\0${foreignId}`
  if (writer.includes('\0') || source.includes('\0') || !text.isWellFormed()) {
    throw new TlogError(
      'malformed-uuid',
      `foreign id of ${JSON.stringify(`${writer} ${source}`.slice(0, 80))}: ambiguous`,
    )
  }
  const input = encodeUtf8(text)
  const out = new Uint8Array(hashBytes)
  hash(input, 0, input.length, out, 0)
  return out
}

// Bits 0 to 11 of the digest go after the version, 12 to 73 after the variant: byte 8 takes six bits, each later one eight.
function setRandomBits(id: Uint8Array, digest: Uint8Array): void {
  const byte = (i: number) => digest[i] as number
  id[6] = 0x80 | (byte(0) >> 4)
  id[7] = ((byte(0) & 0x0f) << 4) | (byte(1) >> 4)
  id[8] = 0x80 | ((byte(1) & 0x0f) << 2) | (byte(2) >> 6)
  for (let i = 9; i < uuidBytes; i++) id[i] = ((byte(i - 7) & 0x3f) << 2) | (byte(i - 6) >> 6)
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

function malformed(text: string, reason = 'want 8-4-4-4-12 hex digits'): TlogError {
  return new TlogError('malformed-uuid', `UUID: got ${JSON.stringify(text.slice(0, 80))}, ${reason}`)
}
