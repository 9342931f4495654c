/**
 * Lock files of a postmaster that is gone, which PostgreSQL takes for those of a running one because their process id
 * still is somebody's: in a container after a restart, where ids come again; or of the killed postmaster itself. Where
 * this server is the first process of a container it inherits the postmaster, and Node collects only children of its
 * own, so that a killed one stays as a zombie for good.
 */
import { readdir, readFile, readlink, realpath, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Removes the lock files of cluster and socket that no postmaster would take over, if no process works in the cluster;
 * else does nothing, since the same files keep a new postmaster from the shared memory of an old one's backends.
 */
export async function removeStaleLocks(pg: string, socketDir: string): Promise<void> {
  if (process.platform !== 'linux') return
  const { uid } = await stat(pg)
  const files = [join(socketDir, '.s.PGSQL.5432.lock'), join(pg, 'postmaster.pid')]
  const isHeld = await Promise.all(files.map((file) => isHeldBy(file, uid)))
  // Order: first who is named, then who works here. A postmaster that somebody starts meanwhile enters the folder
  // before it writes its lock, and it does not write one while the process that is named exists.
  if (!isHeld.includes(true) || (await isWorkedIn(await realpath(pg)))) return
  await Promise.all(files.filter((_, i) => isHeld[i]).map((file) => rm(file, { force: true })))
}

/** Whether the lock names a process, or a zombie, of this user: the locks of others PostgreSQL takes over itself. */
async function isHeldBy(file: string, uid: number): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const pid = Number(text.split('\n')[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  return (await stat(`/proc/${pid}`).catch(() => undefined))?.uid === uid
}

/** PostgreSQL's processes all have the cluster as their working directory. Where we may not look, one may be. */
async function isWorkedIn(dir: string): Promise<boolean> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const folders = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(folderOfHidden)))
  return folders.some((folder) => folder === dir || folder === 'hidden')
}

/** A process that has ended, or a zombie, has no folder. */
function folderOfHidden(error: NodeJS.ErrnoException): 'hidden' | undefined {
  return error.code === 'EACCES' || error.code === 'EPERM' ? 'hidden' : undefined
}
