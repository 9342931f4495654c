import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'

/** By what a server is known among those of one log: an id in its data folder, made at the first start. */
export async function readServerId(dataDir: string): Promise<string> {
  const file = join(dataDir, 'server-id')
  const text = (await readSecretFile(file))?.trim()
  if (text === undefined) {
    const id = randomBytes(8).toString('hex')
    await writeSecretFile(file, `${id}\n`)
    return id
  }
  if (/^[0-9a-f]{16}$/.test(text)) return text
  throw new Error(`${file}: is not what dendrolog wrote; remove it, and this server is known under a new id`)
}
