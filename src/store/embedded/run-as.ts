/**
 * PostgreSQL refuses to run as root. A server started by root runs it as the owner of the cluster's folder, or, for a
 * new one, as `postgres` or `nobody`. Where the data folder lies below one that this user may not enter (a clone in
 * /root), it gets CAP_DAC_READ_SEARCH: then the cluster's superuser can read any file of the machine with
 * pg_read_file, which is why it is the last resort. A data folder that all may pass through avoids it.
 */
import { readFile, stat } from 'node:fs/promises'
import { ClusterError } from './cluster-error.ts'
import { type RunAs, runCommand } from './command.ts'

interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

const probeTimeoutMs = 10_000

/** Chooses who runs PostgreSQL for `dataDir`, whose cluster is or will be `pgDir`. Throws ClusterError if nobody can. */
export async function chooseRunAs(dataDir: string, pgDir: string): Promise<RunAs> {
  if (process.platform === 'win32') throw new ClusterError('embedded PostgreSQL: Windows is not supported')
  if (process.geteuid?.() !== 0) return { kind: 'self' }
  const user = (await ownerOf(pgDir)) ?? (await defaultUser())
  const plain: RunAs = { kind: 'user', uid: user.uid, gid: user.gid, search: false }
  if (await canEnter(plain, dataDir)) return plain
  const searching: RunAs = { ...plain, search: true }
  if (await canEnter(searching, dataDir)) return searching
  throw new ClusterError(
    `${dataDir}: the user ${user.name}, as whom PostgreSQL runs, may not enter this folder or one above it; ` +
      'set DENDROLOG_DATA_DIR to a folder that it may enter, or start the server as another user than root',
  )
}

/** True if `runAs` may enter `dir` and search it. */
async function canEnter(runAs: RunAs, dir: string): Promise<boolean> {
  const result = await runCommand(runAs, '/bin/sh', ['-c', 'cd -- "$1" && test -x .', 'sh', dir], probeTimeoutMs)
  return result.status === 0
}

async function ownerOf(pgDir: string): Promise<User | undefined> {
  const owner = await stat(pgDir).catch(() => undefined)
  if (owner === undefined) return undefined
  if (owner.uid !== 0) return { name: `with uid ${owner.uid}`, uid: owner.uid, gid: owner.gid }
  throw new ClusterError(
    `${pgDir}: belongs to root, and PostgreSQL does not run as root; ` +
      'give the folder to another user (chown -R postgres) and start again',
  )
}

/** `initdb` looks its user up in the password file, so a bare uid is not enough. */
async function defaultUser(): Promise<User> {
  const users = parsePasswd(await readFile('/etc/passwd', 'utf8'))
  const user = users.find((u) => u.name === 'postgres') ?? users.find((u) => u.name === 'nobody' && u.uid > 0)
  if (user === undefined) {
    throw new ClusterError('embedded PostgreSQL: neither postgres nor nobody is a user here, and root cannot run it')
  }
  return user
}

function parsePasswd(text: string): User[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':')
    if (name === undefined || uid === undefined || gid === undefined) return []
    return [{ name, uid: Number(uid), gid: Number(gid) }]
  })
}
