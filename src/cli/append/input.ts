import { createHash } from 'node:crypto'
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

/**
 * SHA-256, in hex, of the last 64 KiB before `offset`: whether a file is still the one that was read so far. Undefined
 * where the file is shorter.
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
