/** Files that only their owner may read: keys, passwords, tokens, the signer's memory. */
import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, link, lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const unfinishedPattern = /^\..+\.dendrolog-[0-9a-f]{16}$/
/** A write takes milliseconds; what is older was left by a process that died. */
const unfinishedMs = 60_000
const secretBytesMax = 1_048_576

/**
 * Writes a file of mode 0600 so that a crash leaves the old content or the new one. Its folder must exist. What is
 * written first has a name of its own: two processes that write one file do not mix, the last one's stands whole.
 */
export async function writeSecretFile(file: string, text: string): Promise<void> {
  const temporary = unfinishedName(file)
  try {
    await writeNewFile(temporary, text)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dirname(file))
}

/** The same where there is none yet; false, and nothing is written, where there is one. */
export async function createSecretFile(file: string, text: string): Promise<boolean> {
  const temporary = unfinishedName(file)
  try {
    await writeNewFile(temporary, text)
    await link(temporary, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
  await syncFolder(dirname(file))
  return true
}

function unfinishedName(file: string): string {
  return join(dirname(file), `.${basename(file)}.dendrolog-${randomBytes(8).toString('hex')}`)
}

/** Exclusive creation follows no link either (open(2)). */
async function writeNewFile(file: string, text: string): Promise<void> {
  const handle = await open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    // A strict umask may have taken the owner's own rights.
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Text of a secret file, undefined where there is none. Throws, naming file and cure, where it is a link or no file,
 * where others than its owner may use it, or where it is another user's; root may read everybody's.
 */
export async function readSecretFile(file: string, bytesMax: number = secretBytesMax): Promise<string | undefined> {
  const handle = await openSecretFile(file)
  if (handle === undefined) return undefined
  try {
    checkSecret(file, await handle.stat(), bytesMax)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/** Removes what writers that died left in a folder, of one file or of all; nothing where the folder is not there. */
export async function removeUnfinished(folder: string, file?: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => [])
  const prefix = file === undefined ? '.' : `.${file}.dendrolog-`
  for (const name of names.filter((each) => each.startsWith(prefix) && unfinishedPattern.test(each))) {
    const path = join(folder, name)
    const found = await lstat(path).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > unfinishedMs) await rm(path, { force: true })
  }
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

// Not to wait for a writer where somebody put a pipe in its place.
async function openSecretFile(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw new Error(`${file}: is a symbolic link; put the file itself there`, { cause })
    if (code === 'EACCES') throw new Error(`${file}: this user may not read it; give it to this user`, { cause })
    throw cause
  }
}

function checkSecret(file: string, found: Stats, bytesMax: number): void {
  const user = process.geteuid?.() ?? found.uid
  if (!found.isFile()) throw new Error(`${file}: is no regular file; put the file itself there`)
  if (found.size > bytesMax) throw new Error(`${file}: has more than ${bytesMax} bytes`)
  if (found.mode % 0o100 !== 0) throw new Error(`${file}: others may read it (mode ${modeOf(found.mode)}): chmod 600`)
  if (found.uid === user || user === 0) return
  throw new Error(`${file}: belongs to user ${found.uid}, this is ${user}: chown it, or run as its owner`)
}

function modeOf(mode: number): string {
  return (mode % 0o1000).toString(8)
}
