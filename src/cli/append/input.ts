import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import type { Place } from './lines.ts'

/** What is appended: a file, which can be read again from any place, or a stream, which cannot. */
export type Input = {
  readonly name: string
  /** Undefined for a stream. */
  readonly file: FileHandle | undefined
  /** Bytes, where they are known. */
  readonly size: number | undefined
  readonly read: (place: Place) => AsyncIterable<Uint8Array>
  readonly close: () => Promise<void>
}

const chunkBytes = 1_048_576
const tailBytesMax = 65_536

/** Opens a file, or standard input where `path` is `-`. Pipes and devices are streams too. */
export async function openInput(path: string): Promise<Input> {
  const stdin = { name: 'standard input', file: undefined, size: undefined }
  if (path === '-') return { ...stdin, read: () => process.stdin, close: async () => void process.stdin.destroy() }
  const handle = await open(path, 'r')
  const stats = await handle.stat()
  if (stats.isDirectory()) throw new Error(`${path}: is a folder`)
  if (stats.isFile()) await checkIsText(path, handle)
  const read = ({ offset }: Place): AsyncIterable<Uint8Array> =>
    handle.createReadStream({
      highWaterMark: chunkBytes,
      autoClose: false,
      ...(stats.isFile() ? { start: offset } : {}),
    })
  const base = { name: path, read, close: () => handle.close() }
  return stats.isFile() ? { ...base, file: handle, size: stats.size } : { ...base, file: undefined, size: undefined }
}

/** First bytes of compressed files, in hex, and what takes them apart. */
const packers: Readonly<Record<string, string>> = {
  '1f8b': 'gunzip',
  '28b5': 'unzstd',
  '425a': 'bunzip2',
  fd37: 'unxz',
}

/** Otherwise every piece of a compressed file would go to quarantine as a record. */
async function checkIsText(path: string, handle: FileHandle): Promise<void> {
  const start = Buffer.alloc(2)
  await handle.read(start, 0, start.length, 0)
  const unpack = packers[start.toString('hex')]
  if (unpack === undefined) return
  await handle.close()
  throw new Error(`${path}: is compressed; append what is in it: ${unpack} -c ${path} | dendrolog append -`)
}

/** SHA-256 of what was sent of a file: its bytes from the first on, each read once. */
export class SentHash {
  readonly #file: FileHandle
  readonly #hash: Hash = createHash('sha256')
  #offset = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** Hex, of the first `offset` bytes: never fewer than were asked for before. Undefined where the file is shorter. */
  async at(offset: number): Promise<string | undefined> {
    const bytes = Buffer.allocUnsafe(Math.min(chunkBytes, offset - this.#offset))
    while (this.#offset < offset) {
      const wanted = Math.min(bytes.length, offset - this.#offset)
      const { bytesRead } = await this.#file.read(bytes, 0, wanted, this.#offset)
      if (bytesRead === 0) return undefined
      this.#hash.update(bytes.subarray(0, bytesRead))
      this.#offset += bytesRead
    }
    return this.#hash.copy().digest('hex')
  }
}

/**
 * SHA-256, in hex, of the last 64 KiB before `offset`, which is all that states of format 1 know. Undefined where the
 * file is shorter.
 */
export async function hashTail(file: FileHandle, offset: number): Promise<string | undefined> {
  const bytes = Buffer.alloc(Math.min(tailBytesMax, offset))
  let filled = 0
  while (filled < bytes.length) {
    const at = offset - bytes.length + filled
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, at)
    if (bytesRead === 0) return undefined
    filled += bytesRead
  }
  return createHash('sha256').update(bytes).digest('hex')
}
