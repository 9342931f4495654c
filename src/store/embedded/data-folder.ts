/** The data folder's part that belongs to PostgreSQL: its folders, their owners and modes, and the socket's place. */
import { createHash, randomBytes } from 'node:crypto'
import { chmod, chown, lstat, mkdir, open, readFile, rename, rm, rmdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { readSecretFile, writeSecretFile } from '../secret-file.ts'
import { ClusterError } from './cluster-error.ts'
import type { RunAs } from './command.ts'

/** Paths below a data folder. */
export interface DataFolder {
  readonly dir: string
  /** The cluster, 0700, owned by the user that runs PostgreSQL. */
  readonly pg: string
  /** Where a cluster is made, before it is renamed to `pg`. */
  readonly unfinished: string
  readonly keys: string
  readonly passwordFile: string
  readonly log: string
  /** Copied programs, see binaries.ts. */
  readonly copies: string
}

// sun_path on Linux, less its final zero. macOS has 103.
const socketPathBytesMax = process.platform === 'linux' ? 107 : 103
const socketName = '/.s.PGSQL.5432'
const logBytesMax = 8 * 1024 * 1024

export function dataFolderAt(dir: string): DataFolder {
  // pg_ctl puts paths between double quotes on a shell's command line.
  if (/["$`\\\n]/.test(dir)) throw new ClusterError(`${dir}: a data folder's path may not have any of " $ \` \\`)
  return {
    dir,
    pg: join(dir, 'pg'),
    unfinished: join(dir, 'pg.unfinished'),
    keys: join(dir, 'keys'),
    passwordFile: join(dir, 'keys', 'pg-admin-password'),
    log: join(dir, 'pg.log'),
    copies: join(dir, 'pgbin'),
  }
}

/**
 * Makes the folder, 0711: the user that runs PostgreSQL must pass through it. What is not ours keeps its mode. Answers
 * which folders it made, the outermost first.
 */
export async function makeDataFolder({ dir, keys }: DataFolder): Promise<readonly string[]> {
  const made = await makeFolders(dir)
  const { uid } = await stat(dir)
  if (process.geteuid?.() === 0 || process.geteuid?.() === uid) await chmod(dir, 0o711)
  made.push(...(await makeFolders(keys)))
  await chmod(keys, 0o700)
  return made
}

/** Removes folders that stayed empty: of a start that was refused nothing is left. */
export async function removeEmptyFolders(made: readonly string[]): Promise<void> {
  // Whatever keeps one from being removed keeps those around it too.
  for (const dir of made.toReversed()) await rmdir(dir).catch(() => {})
}

/** Major version of the cluster in the folder, undefined where there is none. */
export async function readClusterMajor({ pg }: DataFolder): Promise<number | undefined> {
  const text = await readFile(join(pg, 'PG_VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new ClusterError(`${pg}: PG_VERSION cannot be read: ${error.message}`, { cause: error })
  })
  if (text === undefined) return undefined
  const major = Number(text.trim())
  if (!Number.isSafeInteger(major)) throw new ClusterError(`${pg}: PG_VERSION: got ${JSON.stringify(text)}`)
  return major
}

/**
 * Makes a folder and what is missing above it, and answers what it made. Not by `recursive`: below /proc that tries for
 * ever (Node 20 to 24).
 */
async function makeFolders(dir: string): Promise<string[]> {
  const isThere = await stat(dir).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (isThere) return []
  const made = dirname(dir) === dir ? [] : await makeFolders(dirname(dir))
  try {
    await mkdir(dir)
    made.push(dir)
  } catch (error) {
    // Another start may have made it just now; that the folder is one shows when it is used.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return made
}

/** The superuser's password; made where there is no cluster yet, so a crash in between loses nothing. */
export async function openPassword(folder: DataFolder, exists: boolean): Promise<string> {
  const kept = await readSecretFile(folder.passwordFile)
  if (kept !== undefined) return kept.trim()
  if (exists) {
    throw new ClusterError(
      `${folder.dir}: has a cluster but not its password ${folder.passwordFile}; restore that file`,
    )
  }
  const password = randomBytes(24).toString('base64url')
  await writeSecretFile(folder.passwordFile, `${password}\n`)
  return password
}

/** An empty folder of mode 0700 for `runAs`, in place of what was there. */
export async function makePrivateFolder(dir: string, runAs: RunAs): Promise<void> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { mode: 0o700 })
  await give(dir, runAs)
}

/** Gives a file or folder to the user that runs PostgreSQL. */
export async function give(path: string, runAs: RunAs): Promise<void> {
  if (runAs.kind === 'user') await chown(path, runAs.uid, runAs.gid)
}

/** The log for appending. Above 8 MiB it becomes `pg.log.1` first, in place of an older one. */
export async function openLog({ log }: DataFolder, runAs: RunAs): Promise<void> {
  const size = (await stat(log).catch(() => undefined))?.size ?? 0
  if (size > logBytesMax) await rename(log, `${log}.1`)
  await (await open(log, 'a', 0o600)).close()
  await give(log, runAs)
}

/** The last lines of the log, at most 2,000 characters, for an error message. */
export async function readLogTail({ log }: DataFolder): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '')
  return `${log} ends: ${text.slice(-2000).trim() || '(empty)'}`
}

/**
 * The folder of the Unix socket, 0700 and owned by the user that runs PostgreSQL: `sock` in the data folder, or, where
 * that is too long for a socket's address, one below the system's folder for temporary files.
 */
export async function makeSocketFolder({ dir }: DataFolder, runAs: RunAs): Promise<string> {
  const short = createHash('sha256').update(dir).digest('hex').slice(0, 24)
  const near = join(dir, 'sock')
  const path = Buffer.byteLength(near + socketName) <= socketPathBytesMax ? near : join(tmpdir(), `dendrolog-${short}`)
  await mkdir(path, { mode: 0o700 }).catch(ignoreExisting)
  await checkOwnFolder(path, runAs)
  await chmod(path, 0o700)
  await give(path, runAs)
  return path
}

/** In a folder for all somebody else may have taken the name. */
async function checkOwnFolder(path: string, runAs: RunAs): Promise<void> {
  const found = await lstat(path)
  const owners = [process.geteuid?.(), runAs.kind === 'user' ? runAs.uid : undefined]
  if (found.isDirectory() && owners.includes(found.uid)) return
  throw new ClusterError(`${path}: is not a folder of ours, and the database's socket must be in it; remove it`)
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
