/**
 * One server a data folder. Two first starts on one folder would each make keys and a cluster and destroy the other's.
 * On Linux the lock is a socket in the abstract namespace, which the kernel frees when its process dies, named by the
 * folder's device and inode, so that two paths to one folder are one lock. It holds within a network namespace:
 * containers that share a folder do not see each other's. Elsewhere it is a file that names its process.
 */
import { createHash } from 'node:crypto'
import { link, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { ClusterError } from './cluster-error.ts'

/** Locks `dir`, which exists. Throws ClusterError if it is locked. The result frees it; the process's end does too. */
export function lockFolder(dir: string): Promise<() => Promise<void>> {
  return process.platform === 'linux' ? lockBySocket(dir) : lockByFile(dir)
}

async function lockBySocket(dir: string): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(dir, { bigint: true })
  const name = createHash('sha256').update(`${dev}:${ino}`).digest('hex').slice(0, 32)
  const server = createServer((socket) => socket.destroy())
  await listen(server, `\0dendrolog-${name}`).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'EADDRINUSE' ? inUse(dir) : new ClusterError(`${dir}: cannot be locked`, { cause })
  })
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => resolve())
  })
}

async function lockByFile(dir: string): Promise<() => Promise<void>> {
  const file = join(dir, 'lock')
  const own = `${file}.${process.pid}`
  await writeFile(own, `${process.pid}\n`)
  try {
    // link() fails where the name exists, and the name never shows a file without its pid.
    await link(own, file).catch(() => replaceStale(dir, file, own))
  } finally {
    await unlink(own)
  }
  return () => unlink(file)
}

async function replaceStale(dir: string, file: string, own: string): Promise<void> {
  const holder = Number(await readFile(file, 'utf8'))
  if (isAlive(holder)) throw inUse(dir, holder)
  // Of several starts that see the stale lock one gets to move it away; the others fail here or at the link.
  await rename(file, `${own}.stale`)
  await unlink(`${own}.stale`)
  await link(own, file)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function inUse(dir: string, pid?: number): ClusterError {
  const holder = pid === undefined ? 'another server' : `the server with process id ${pid}`
  return new ClusterError(`${dir}: this data folder is in use by ${holder}; stop it, or choose another folder`)
}
