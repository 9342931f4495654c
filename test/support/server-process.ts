/** The real binary as a process of its own: to load, kill and start again. Needs `npm run build` before. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientConfig } from 'pg'
import { runCommand } from '../../src/store/embedded/command.ts'
import { chooseRunAs } from '../../src/store/embedded/run-as.ts'

export type Environment = Readonly<Record<string, string>>
export type Tokens = { readonly writer: string; readonly auditor: string; readonly admin: string }

/** A server that says that it is ready. */
export type ServerProcess = {
  readonly child: ChildProcess
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly dataDir: string
  readonly tokens: Tokens
  /** All that it wrote so far, to standard output and standard error. */
  readonly output: () => string
  /** SIGTERM; resolves with the exit status. */
  readonly stop: () => Promise<number | null>
  /** SIGKILL; an embedded PostgreSQL goes on. */
  readonly kill: () => Promise<void>
}

/** A server that ended before it was ready. */
export type EndedProcess = { readonly status: number | null; readonly output: string }

const main = join(import.meta.dirname, '..', '..', 'dist', 'src', 'cli', 'main.js')
const running = new Set<ChildProcess>()

/**
 * Starts a server on `dataDir` and a free port, and waits until it is ready. `prefix` is a command that runs it.
 * Throws with its output if it ends.
 */
export async function startServer(
  dataDir: string,
  environment: Environment = {},
  prefix: readonly string[] = [],
): Promise<ServerProcess> {
  const started = await tryServer(dataDir, environment, prefix)
  if ('status' in started) throw new Error(`the server ended with status ${started.status}: ${started.output}`)
  return started
}

/** As `startServer`, where the start may be refused. */
export async function tryServer(
  dataDir: string,
  environment: Environment = {},
  prefix: readonly string[] = [],
): Promise<ServerProcess | EndedProcess> {
  const { child, output, url, ended } = spawnServer(dataDir, environment, prefix)
  const first = await Promise.race([url, ended])
  if (typeof first !== 'string') return first
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal)
    return (await ended).status
  }
  return {
    ...{ child, dataDir, url: first, output, stop: () => end('SIGTERM') },
    tokens: JSON.parse(await readFile(join(dataDir, 'tokens.json'), 'utf8')) as Tokens,
    kill: async () => {
      await end('SIGKILL')
    },
  }
}

/** A server that is starting. */
export type StartingProcess = {
  readonly child: ChildProcess
  readonly output: () => string
  /** Resolves when it is ready, with its URL. */
  readonly url: Promise<string>
  readonly ended: Promise<EndedProcess>
}

/** As `tryServer`, without waiting. */
export function spawnServer(
  dataDir: string,
  environment: Environment = {},
  prefix: readonly string[] = [],
): StartingProcess {
  // Nothing is inherited but where programs are: settings of whoever runs the tests must not reach the server.
  const env = { PATH: process.env.PATH ?? '', PORT: '0', DENDROLOG_DATA_DIR: dataDir, ...environment }
  const [file = '', ...args] = [...prefix, process.execPath, main, 'serve']
  const child = spawn(file, args, { cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let output = ''
  const ended = once(child, 'close').then(([status]) => {
    running.delete(child)
    return { status: status as number | null, output }
  })
  const url = new Promise<string>((resolve) => {
    const collect = (chunk: string): void => {
      output += chunk
      const match = /is (?:ready|listening) on (https?:[^\s,]+)/.exec(output)
      if (match?.[1] !== undefined) resolve(match[1])
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
  })
  return { child, output: () => output, url, ended }
}

/** Ends what a failed test left behind: servers at once, and the PostgreSQL of `dataDir`. */
export async function endAll(dataDir: string): Promise<void> {
  for (const child of running) child.kill('SIGKILL')
  while (running.size > 0) await sleep(20)
  await killPostgres(dataDir)
}

/** Resolves when `/readyz` answers 200; throws after `timeoutMs`. */
export async function waitUntilReady(server: ServerProcess, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const answer = await fetch(`${server.url}/readyz`).catch(() => undefined)
    await answer?.text()
    if (answer?.status === 200) return
    await sleep(50)
  }
  throw new Error(`not ready after ${timeoutMs} ms: ${server.output().slice(-2_000)}`)
}

/** The superuser's connection to the embedded PostgreSQL of a data folder. */
export async function adminConfig(dataDir: string): Promise<ClientConfig> {
  const lines = (await readFile(join(dataDir, 'pg', 'postmaster.pid'), 'utf8')).split('\n')
  const password = (await readFile(join(dataDir, 'keys', 'pg-admin-password'), 'utf8')).trim()
  return { host: lines[4] ?? '', port: 5432, user: 'dendrolog_admin', password, database: 'dendrolog' }
}

/** Process id of the embedded postmaster, undefined where its pid file is gone. */
export async function postmasterPid(dataDir: string): Promise<number | undefined> {
  const text = await readFile(join(dataDir, 'pg', 'postmaster.pid'), 'utf8').catch(() => '')
  return text === '' ? undefined : Number(text.split('\n')[0])
}

/** SIGKILL for the postmaster and all of its processes, as when the machine's memory ran out. */
export async function killPostgres(dataDir: string): Promise<void> {
  const pid = await postmasterPid(dataDir)
  if (pid === undefined) return
  for (const each of [pid, ...(await childrenOf(pid))]) signalIfThere(each)
}

/** Process ids of those that work in a folder, as all of PostgreSQL's do in their cluster's. */
export async function processesIn(dir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const folders = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => undefined)))
  return pids.filter((_, i) => folders[i] === dir)
}

/** Process ids of the children of a process, by /proc. */
export async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = await Promise.all(pids.map(readParent))
  return pids.filter((_, i) => parents[i] === parent)
}

/**
 * `pg_ctl restart` of the embedded PostgreSQL, with the programs and as the user that run it. The server may be faster
 * than pg_ctl to start it again; then pg_ctl says that one runs already, which is what was wanted.
 */
export async function restartPostgres(dataDir: string, mode: 'fast' | 'immediate'): Promise<void> {
  const pid = await postmasterPid(dataDir)
  const pg = join(dataDir, 'pg')
  const pgCtl = join(dirname(await readlink(`/proc/${pid}/exe`)), 'pg_ctl')
  const args = ['restart', '-D', pg, '-m', mode, '-w', '-t', '60', '-l', join(dataDir, 'pg.log')]
  const { output } = await runCommand(await chooseRunAs(dataDir, pg), pgCtl, args, 60_000)
  if ((await postmasterPid(dataDir)) === pid) throw new Error(`pg_ctl restart: the old postmaster goes on: ${output}`)
}

/** Field 4 of /proc/PID/stat (proc(5)), counted after the name, which may have spaces. */
async function readParent(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
}

function signalIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
