import { once } from 'node:events'
import zlib from 'node:zlib'
import type { BudgetShare } from './byte-budget.ts'
import { Problem } from './problem.ts'

/** `deflate` is the zlib format (RFC 9110 8.4.1.2); some senders leave its two bytes of header out. */
export type Encoding = 'gzip' | 'deflate' | 'zstd'

const chunkBytes = 65_536
/** Logs compress to a tenth or a thirtieth. Above the first megabyte, what grows more than this is no log. */
const ratioMax = 200
const freeBytes = 1_048_576
/** Node has zstd from 22.15 on. */
const createZstd = (zlib as { createZstdDecompress?: (options: object) => zlib.Gunzip }).createZstdDecompress
const accepted = createZstd === undefined ? 'gzip, deflate' : 'gzip, deflate, zstd'

/** The one encoding that a Content-Encoding header names, undefined for none. Stacked ones are `unsupported-encoding`. */
export function readEncoding(header: string | undefined): Encoding | undefined {
  const names = (header ?? '').split(',').map((name) => name.trim().toLowerCase())
  const encodings = names.filter((name) => name !== '' && name !== 'identity')
  if (encodings.length > 1) throw unsupported('one encoding at a time')
  const [encoding] = encodings
  if (encoding === undefined) return undefined
  if (encoding === 'gzip' || encoding === 'x-gzip') return 'gzip'
  if (encoding === 'deflate') return 'deflate'
  if (encoding === 'zstd' && createZstd !== undefined) return 'zstd'
  if (encoding === 'zstd') throw unsupported('the Node that runs this server lacks zstd (it has it from 22.15 on)')
  throw unsupported(`got ${JSON.stringify(encoding.slice(0, 40))}`)
}

/**
 * The decompressed body, never more than `bytesMax` bytes of it and one chunk (`body-too-large`). Several gzip members
 * are one body. `malformed-encoding` where it is damaged, cut off, or something follows it: what cannot be read must
 * not be taken for nothing.
 */
export async function decompress(
  encoding: Encoding,
  body: Uint8Array,
  bytesMax: number,
  share: BudgetShare,
): Promise<Uint8Array> {
  const stream = openDecompressor(encoding, body)
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    try {
      bytes += chunk.length
      if (bytes > freeBytes && bytes > ratioMax * body.length) throw tooDense()
      if (bytes > bytesMax) throw new Problem('body-too-large', `the body decompresses to more than ${bytesMax} bytes`)
      share.take(chunk.length)
      chunks.push(chunk)
    } catch (refusal) {
      stream.destroy(refusal as Error)
    }
  })
  stream.end(body)
  try {
    await once(stream, 'end')
  } catch (cause) {
    if (isZlibError(cause)) throw malformed(encoding, cause.message)
    throw cause
  }
  if (stream.bytesWritten !== body.length) throw malformed(encoding, `it ends after ${stream.bytesWritten} bytes`)
  return Buffer.concat(chunks, bytes)
}

function openDecompressor(encoding: Encoding, body: Uint8Array): zlib.Gunzip {
  const options = { chunkSize: chunkBytes }
  if (encoding === 'gzip') return zlib.createGunzip(options)
  if (encoding === 'zstd' && createZstd !== undefined) return createZstd(options)
  return hasZlibHeader(body) ? zlib.createInflate(options) : zlib.createInflateRaw(options)
}

/** RFC 1950 2.2: method 8, and a multiple of 31. A raw stream whose bits say so too would begin with padding that is not 0. */
function hasZlibHeader(body: Uint8Array): boolean {
  const [first = 0, second = 0] = body
  return first % 16 === 8 && (first * 256 + second) % 31 === 0
}

/** Codes are those of zlib and of zstd: Z_DATA_ERROR, Z_BUF_ERROR, ZSTD_error_... */
function isZlibError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^(Z_|ZSTD_)/.test(String(error.code))
}

function tooDense(): Problem {
  return new Problem('body-too-large', `the body decompresses to more than ${ratioMax} times its size`)
}

function malformed(encoding: Encoding, reason: string): Problem {
  return new Problem('malformed-encoding', `the body is not ${encoding}: ${reason}`)
}

/** RFC 9110 15.5.16: Accept-Encoding says what would be taken. */
function unsupported(reason: string): Problem {
  const detail = `Content-Encoding: ${reason}, want ${accepted.replaceAll(', ', ' or ')}`
  return new Problem('unsupported-encoding', detail, { headers: { 'accept-encoding': accepted } })
}
