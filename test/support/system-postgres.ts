/** A PostgreSQL of the operating system's packages, as users have it: on a port, without our settings. */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

export type SystemPostgres = {
  /** The superuser's, to database `postgres`. */
  readonly url: string
  readonly restart: (mode: 'fast' | 'immediate') => void
  readonly stop: () => Promise<void>
}

const binDir = '/usr/lib/postgresql/15/bin'
const user = 'postgres'
const password = 'a superuser’s'

/** Whether this machine has one; tests that need it are skipped otherwise. */
export const hasSystemPostgres: boolean = existsSync(join(binDir, 'initdb'))

/** Makes and starts a cluster in a temporary folder, as a user who is not root. */
export async function startSystemPostgres(): Promise<SystemPostgres> {
  const parent = await mkdtemp(join(tmpdir(), 'dendrolog-system-'))
  const identity = notRoot()
  const dir = join(parent, 'cluster')
  const passwordFile = join(parent, 'password')
  await chmod(parent, 0o755)
  await mkdir(dir, { mode: 0o700 })
  await writeFile(passwordFile, password)
  for (const path of [dir, passwordFile]) if (identity.uid !== undefined) await chown(path, identity.uid, identity.gid)
  const run = (program: string, args: readonly string[]): void => {
    execFileSync(join(binDir, program), args, { cwd: '/', env: { LC_ALL: 'C' }, stdio: 'ignore', ...identity })
  }
  const port = await freePort()
  const options = `-c port=${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''`
  const control = (verb: string, ...args: readonly string[]): void =>
    run('pg_ctl', [verb, '-D', dir, '-w', '-l', join(dir, 'log'), ...args])
  run('initdb', ['-D', dir, '-U', user, `--pwfile=${passwordFile}`, '-A', 'scram-sha-256', '-E', 'UTF8'])
  control('start', '-o', options)
  return {
    url: `postgresql://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    restart: (mode) => control('restart', '-m', mode),
    stop: async () => {
      control('stop', '-m', 'immediate')
      await rm(parent, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

type Identity = { readonly uid: number; readonly gid: number } | { readonly uid?: undefined }

function notRoot(): Identity {
  if (process.getuid?.() !== 0) return {}
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${user}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  return { uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534) }
}
