import { open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file of mode 0600 so that a crash leaves the old content or the new one. Its folder must exist. */
export async function writeSecretFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`
  const handle = await open(temporary, 'w', 0o600)
  try {
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
  await syncFolder(dirname(file))
}

/** Text of a secret file, undefined where there is none. Throws if others than its owner may read or write it. */
export async function readSecretFile(file: string): Promise<string | undefined> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined) return undefined
  if (found.mode % 0o100 !== 0) throw new Error(`${file}: others may read it (mode ${modeOf(found.mode)}): chmod 600`)
  return readFile(file, 'utf8')
}

/** Makes renames and new names in a folder durable. */
export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function modeOf(mode: number): string {
  return (mode % 0o1000).toString(8)
}
