/** Files whose names were given by others: never waited for, never read without bound. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

const { O_NONBLOCK, O_RDONLY } = constants

/** What has the name is nothing to read whole. */
export class UnfitFile extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UnfitFile'
  }
}

/**
 * All bytes of a regular file. UnfitFile where it is another thing or has more than `bytesMax` bytes, a system error
 * where it cannot be read. Opening a pipe would wait for its writer in a thread that no signal and no exit can end.
 */
export async function readGivenFile(file: string, bytesMax: number): Promise<Buffer> {
  const handle = await open(file, O_RDONLY | O_NONBLOCK)
  try {
    if (!(await handle.stat()).isFile()) throw new UnfitFile(`${file}: is no regular file`)
    const chunks: Buffer[] = []
    for await (const chunk of handle.createReadStream({ end: bytesMax, autoClose: false })) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    if (bytes.length > bytesMax) throw new UnfitFile(`${file}: has more than ${bytesMax} bytes`)
    return bytes
  } finally {
    await handle.close()
  }
}
