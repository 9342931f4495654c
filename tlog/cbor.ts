// Writers of the deterministic CBOR (RFC 8949 4.2.1) that a leaf is made of: unsigned integers, byte strings, text
// and null, each with its shortest head. They write into a caller's buffer and return the position behind.

/** Head of major type 0..7 with argument n (0 to 2^53-1), 1 to 9 bytes. */
export function writeHead(out: Uint8Array, at: number, major: number, n: number): number {
  const type = major * 32
  if (n < 24) {
    out[at] = type + n
    return at + 1
  }
  if (n < 0x100) {
    out[at] = type + 24
    out[at + 1] = n
    return at + 2
  }
  if (n < 0x10000) {
    out[at] = type + 25
    out[at + 1] = n >> 8
    out[at + 2] = n & 0xff
    return at + 3
  }
  if (n < 0x100000000) {
    out[at] = type + 26
    return writeUint32(out, at + 1, n)
  }
  out[at] = type + 27
  return writeUint64(out, at + 1, n)
}

/** Unsigned integer, 0 to 2^53-1. */
export function writeUnsigned(out: Uint8Array, at: number, n: number): number {
  return writeHead(out, at, 0, n)
}

/** Unsigned integer, or null (f6). */
export function writeUnsignedOrNull(out: Uint8Array, at: number, n: number | null): number {
  return n === null ? writeNull(out, at) : writeHead(out, at, 0, n)
}

export function writeNull(out: Uint8Array, at: number): number {
  out[at] = 0xf6
  return at + 1
}

/** Byte string of bytes[start, end). */
export function writeByteString(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  return copyInto(out, writeHead(out, at, 2, end - start), bytes, start, end)
}

/** Text string whose UTF-8 is bytes[start, end). */
export function writeTextString(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  return copyInto(out, writeHead(out, at, 3, end - start), bytes, start, end)
}

/** Copies bytes[start, end) to out[at...). Short runs by a loop: the view for `set` costs 0.05 us. */
export function copyInto(out: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): number {
  if (end - start > 96) {
    out.set(bytes.subarray(start, end), at)
    return at + end - start
  }
  let to = at
  for (let i = start; i < end; i++) out[to++] = bytes[i] as number
  return to
}

/** Big endian, 4 bytes. */
export function writeUint32(out: Uint8Array, at: number, n: number): number {
  out[at] = n >>> 24
  out[at + 1] = (n >>> 16) & 0xff
  out[at + 2] = (n >>> 8) & 0xff
  out[at + 3] = n & 0xff
  return at + 4
}

/** Big endian, 8 bytes; also negative integers down to -2^53 in two's complement. */
export function writeUint64(out: Uint8Array, at: number, n: number): number {
  const high = Math.floor(n / 0x100000000)
  writeUint32(out, at, high)
  return writeUint32(out, at + 4, n - high * 0x100000000)
}
