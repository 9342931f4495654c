import { once } from 'node:events'
import type { Readable } from 'node:stream'
import zlib from 'node:zlib'
import type { Context } from 'hono'
import { Problem } from './problem.ts'
import type { Env } from './server.ts'

/** Bytes of a compressed body may grow to this many times their number before they are a bomb. */
const readMs = 25_000

/**
 * The request's body, decompressed. Read from Node's stream where there is one: the web stream around it costs half of
 * the throughput. Throws `body-too-large` as soon as more than `bytesMax` came out, `unsupported-encoding`,
 * `malformed-encoding`.
 */
export async function readBody(c: Context<Env>, bytesMax: number): Promise<Uint8Array> {
  const declared = Number(c.req.header('content-length') ?? 0)
  if (declared > bytesMax) throw tooLarge(bytesMax)
  const encoding = (c.req.header('content-encoding') ?? 'identity').trim().toLowerCase()
  const incoming = c.env?.incoming
  const compressed =
    incoming === undefined ? await readWebBody(c, bytesMax) : await collect(incoming as Readable, bytesMax)
  return encoding === 'identity' || encoding === '' ? compressed : decompress(encoding, compressed, bytesMax)
}

async function readWebBody(c: Context<Env>, bytesMax: number): Promise<Uint8Array> {
  const body = new Uint8Array(await c.req.arrayBuffer())
  if (body.length > bytesMax) throw tooLarge(bytesMax)
  return body
}

/** All chunks of a stream, which may take 25 s: shippers give up after 30. */
function collect(stream: Readable, bytesMax: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const timer = setTimeout(() => fail(new Problem('malformed-encoding', 'the body did not arrive in time')), readMs)
    const done = (): void => {
      clearTimeout(timer)
      stream.off('data', onData).off('end', onEnd).off('error', fail).off('close', onClose)
    }
    const fail = (error: Error): void => {
      done()
      // What is still to come is read and thrown away, so that the answer can be sent.
      stream.resume()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > bytesMax) fail(tooLarge(bytesMax))
      else chunks.push(chunk)
    }
    const onEnd = (): void => {
      done()
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes))
    }
    const onClose = (): void => fail(new Problem('malformed-encoding', 'the connection closed within the body'))
    stream.on('data', onData).on('end', onEnd).on('error', fail).on('close', onClose)
  })
}

async function decompress(encoding: string, body: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  const stream = openDecompressor(encoding, bytesMax)
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) stream.destroy(tooLarge(bytesMax))
    else chunks.push(chunk)
  })
  stream.end(body)
  try {
    await once(stream, 'end')
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    throw new Problem('malformed-encoding', `the body is not ${encoding}`)
  }
  return Buffer.concat(chunks, bytes)
}

function openDecompressor(encoding: string, bytesMax: number): zlib.Gunzip {
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip()
    case 'deflate':
      return zlib.createInflate()
    case 'zstd':
      return openZstd(bytesMax)
    default:
      throw new Problem('unsupported-encoding', `Content-Encoding ${encoding.slice(0, 40)}: want gzip, deflate or zstd`)
  }
}

/** Node has zstd from 22.15 on. */
function openZstd(bytesMax: number): zlib.Gunzip {
  const create = (zlib as { createZstdDecompress?: (options: object) => zlib.Gunzip }).createZstdDecompress
  if (create === undefined) throw new Problem('unsupported-encoding', 'zstd: the Node that runs this server lacks it')
  return create({ maxOutputLength: bytesMax + 1 })
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body-too-large', `more than ${bytesMax} bytes`)
}
