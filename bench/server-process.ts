// The real server as a child process, with its own PostgreSQL in a data folder below the run's.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientConfig } from 'pg'
import { adminUser } from '../src/store/embedded/postmaster.ts'
import { openCluster } from '../src/store/embedded.ts'

export type ServerOptions = {
  readonly dataDir: string
  readonly settings?: Readonly<Record<string, string>>
  /** Where the server writes a CPU profile when it ends. */
  readonly profileFolder?: string | undefined
}

/** Bytes of a process, in MB (10^6). */
export type MemoryUse = { readonly peakMb: number; readonly sampledMaxMb: number }

export type ServerProcess = {
  readonly pid: number
  readonly url: string
  readonly port: number
  readonly dataDir: string
  /** From the start of the process to 200 from /readyz. */
  readonly readyMs: number
  readonly readToken: (role: 'writer' | 'auditor') => Promise<string>
  /** The superuser's login at the embedded PostgreSQL. */
  readonly adminConfig: () => Promise<ClientConfig>
  /** Undefined where the system does not tell (only Linux does). */
  readonly memory: () => MemoryUse | undefined
  /** Ends the server as an administrator would, and its PostgreSQL with it. */
  readonly stop: () => Promise<void>
  /** Ends the server at once; its PostgreSQL goes on, and the next server takes it over. */
  readonly kill: () => Promise<void>
}

/** The flags and the environment of `npm start`. */
const asNpmStart = ['--max-semi-space-size=32']
const environmentAsNpmStart = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '524288' }
const program = join(import.meta.dirname, '..', 'src', 'cli', 'main.js')
const readyWithinMs = 120_000
const stopWithinMs = 120_000
const sampleEveryMs = 100

/** Starts a server and waits until it is ready. What it logs goes to `server.log` in its data folder's parent. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const startedAt = performance.now()
  const child = launch(options)
  try {
    const url = await readUrl(child, `${options.dataDir}.log`)
    await waitReady(url)
    const readyMs = performance.now() - startedAt
    const sampler = sampleMemory(child)
    const stop = async (): Promise<void> => {
      clearInterval(sampler.timer)
      await stopChild(child, options.dataDir)
    }
    const kill = async (): Promise<void> => {
      clearInterval(sampler.timer)
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
    return {
      ...{ pid: child.pid ?? 0 },
      ...{ url, port: Number(new URL(url).port), dataDir: options.dataDir, readyMs, stop, kill, memory: sampler.read },
      readToken: (role) => readToken(options.dataDir, role),
      adminConfig: () => readAdminConfig(options.dataDir),
    }
  } catch (error) {
    await stopChild(child, options.dataDir)
    throw error
  }
}

function launch({ dataDir, settings, profileFolder }: ServerOptions): ChildProcess {
  const profiling = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]
  const env = {
    ...inheritedEnvironment(),
    ...environmentAsNpmStart,
    PORT: '0',
    DENDROLOG_DATA_DIR: dataDir,
    DENDROLOG_LOG_LEVEL: 'warn',
    ...settings,
  }
  const child = spawn(process.execPath, [...asNpmStart, ...profiling, program, 'serve'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stderr?.pipe(createWriteStream(`${dataDir}.log`, { flags: 'a', mode: 0o600 }))
  return child
}

/** Without the settings of a server, so that nobody's own database is measured by mistake. */
function inheritedEnvironment(): Record<string, string | undefined> {
  const ours = /^(DENDROLOG_.*|DATABASE_URL|HOST|PORT|NODE_OPTIONS|PG.*)$/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
}

/** The address that the server prints when it listens. */
function readUrl(child: ChildProcess, logFile: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const timer = setTimeout(() => reject(new Error('the server did not start in time')), readyWithinMs)
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const url = /is ready on (http:\/\/\S+)/.exec(output)?.[1]
      if (url === undefined) return
      clearTimeout(timer)
      resolve(url)
    })
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`the server ended with ${code}: ${readFileSync(logFile, 'utf8').slice(-500)}`))
    })
  })
}

async function waitReady(url: string): Promise<void> {
  const deadline = performance.now() + readyWithinMs
  while (performance.now() < deadline) {
    const { status } = await fetch(`${url}/readyz`)
    if (status === 200) return
    await sleep(5)
  }
  throw new Error('the server did not become ready in time')
}

async function stopChild(child: ChildProcess, dataDir: string): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopWithinMs)
  await ended
  clearTimeout(timer)
  // A server that was killed leaves its PostgreSQL running; adopting it is how it is ended.
  if (child.signalCode !== null) await openCluster({ dataDir }).then((cluster) => cluster.stop())
}

async function readToken(dataDir: string, role: string): Promise<string> {
  const tokens = JSON.parse(await readFile(join(dataDir, 'tokens.json'), 'utf8')) as Record<string, unknown>
  const token = tokens[role]
  if (typeof token !== 'string') throw new Error(`tokens.json: there is no ${role}`)
  return token
}

/** Lines 4 and 5 of postmaster.pid are port and socket folder (PostgreSQL documentation, 66.1). */
async function readAdminConfig(dataDir: string): Promise<ClientConfig> {
  const lines = (await readFile(join(dataDir, 'pg', 'postmaster.pid'), 'utf8')).split('\n')
  const password = (await readFile(join(dataDir, 'keys', 'pg-admin-password'), 'utf8')).trim()
  return { host: lines[4] ?? '', port: Number(lines[3]), user: adminUser, password, database: 'dendrolog' }
}

function sampleMemory(child: ChildProcess): { timer: NodeJS.Timeout; read: () => MemoryUse | undefined } {
  let sampledMaxMb = 0
  const sample = (): void => {
    sampledMaxMb = Math.max(sampledMaxMb, readStatusMb(child.pid, 'VmRSS') ?? 0)
  }
  const read = (): MemoryUse | undefined => {
    const peakMb = readStatusMb(child.pid, 'VmHWM')
    return peakMb === undefined ? undefined : { peakMb, sampledMaxMb }
  }
  return { timer: setInterval(sample, sampleEveryMs), read }
}

/** A size of /proc/PID/status, which is in units of 1,024 bytes. */
function readStatusMb(pid: number | undefined, name: 'VmRSS' | 'VmHWM'): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
    return kib === undefined ? undefined : (Number(kib) * 1_024) / 1e6
  } catch {
    return undefined
  }
}
