/** Files of evidence, as large as they come: written once, readable by their owner only, known by their hash. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
/** Small: whoever writes is the server's thread, which hashes each chunk at once. */
const chunkBytes = 262_144

export type Kept = {
  readonly bytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/**
 * Writes a new file of mode 0600, chunk by chunk; durable when this resolves, but for its name (`syncFolder`). What was
 * written stays where `chunks` throws: whoever makes the folder removes it.
 */
export async function keepFile(path: string, chunks: AsyncIterable<Uint8Array>): Promise<Kept> {
  const handle = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    // A strict umask may have taken the owner's own rights.
    await handle.chmod(0o600)
    const kept = await writeChunks(handle, chunks)
    await handle.sync()
    return kept
  } finally {
    await handle.close()
  }
}

async function writeChunks(handle: FileHandle, chunks: AsyncIterable<Uint8Array>): Promise<Kept> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** What a file has until its end, which may move meanwhile. A chunk holds until the next one. */
export async function* readChunks(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const buffer = new Uint8Array(chunkBytes)
    for (;;) {
      signal.throwIfAborted()
      const { bytesRead } = await handle.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
