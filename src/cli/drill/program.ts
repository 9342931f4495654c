// The program itself, as processes of its own: what is drilled is what runs elsewhere.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Copy, Environment } from './copy.ts'

const program = join(import.meta.dirname, '..', 'main.js')
const searchPath = '/usr/local/bin:/usr/bin:/bin'
const stopMs = 20_000
const readyMs = 60_000
const lookMs = 50

export type Finished = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

/** Nothing is inherited: the settings of whoever drills are of another log. */
function environmentOf(environment: Environment): Environment {
  return { PATH: searchPath, ...environment }
}

/** Runs a command to its end. */
export async function runProgram(args: readonly string[], environment: Environment): Promise<Finished> {
  const child = spawn(process.execPath, [program, ...args], { env: environmentOf(environment), cwd: '/' })
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout: stdout(), stderr: stderr() }
}

/** Where a program has its log, and its settings. */
type Place = Pick<Copy, 'folder' | 'environment'>

/** A job that goes on until it is ended. */
export function startProgram(args: readonly string[], copy: Place): RunningProgram {
  return startNode([program, ...args], copy, `${args[0]}.log`)
}

export type RunningProgram = {
  readonly child: ChildProcess
  /** What it said on standard output. */
  readonly output: () => string
  /** SIGTERM, then SIGKILL. Resolves when it is gone. */
  readonly stop: () => Promise<void>
}

function startNode(args: readonly string[], copy: Place, logName: string): RunningProgram {
  const child = spawn(process.execPath, args, { env: environmentOf(copy.environment), cwd: '/' })
  const log = createWriteStream(join(copy.folder, logName), { flags: 'a' })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  const output = collect(child.stdout)
  const ended = once(child, 'close').then(() => log.end())
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const hard = setTimeout(() => child.kill('SIGKILL'), stopMs)
    await ended
    clearTimeout(hard)
  }
  return { child, output, stop }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

/** A server on a copy. */
export type DrillServer = {
  readonly url: string
  readonly token: (role: 'writer' | 'auditor') => Promise<string>
  /** A number of `/metrics`; undefined where there is none. */
  readonly metric: (name: string) => Promise<number | undefined>
  /** `incident` or `code` of `/readyz`; undefined where the server is ready. */
  readonly incident: () => Promise<string | undefined>
  readonly child: ChildProcess
  readonly stop: () => Promise<void>
}

/** `flags` are Node's own. Resolves when it listens, ready or not. Throws where it ended. */
export async function startServer(
  copy: Copy,
  signal: AbortSignal,
  flags: readonly string[] = [],
): Promise<DrillServer> {
  const { child, output, stop } = startNode([...flags, program, 'serve', '--json'], copy, 'serve.log')
  try {
    const url = await readUrl(child, output, copy, signal)
    return {
      ...{ url, child, stop },
      token: async (role) => {
        const tokens = JSON.parse(await readFile(join(copy.folder, 'tokens.json'), 'utf8')) as Record<string, string>
        return tokens[role] ?? ''
      },
      metric: async (name) => {
        const text = await (await fetch(`${url}/metrics`)).text()
        const value = new RegExp(`^dendrolog_${name} (\\S+)$`, 'm').exec(text)?.[1]
        return value === undefined ? undefined : Number(value)
      },
      incident: async () => {
        const answer = await fetch(`${url}/readyz`)
        const { incident, code } = (await answer.json()) as { readonly incident?: string; readonly code?: string }
        return answer.status === 200 ? undefined : (incident ?? code ?? 'not ready')
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function readUrl(
  child: ChildProcess,
  output: () => string,
  { folder }: Copy,
  signal: AbortSignal,
): Promise<string> {
  for (const until = performance.now() + readyMs; performance.now() < until; ) {
    const url = /"url":"([^"]+)"/.exec(output())?.[1]
    if (url !== undefined) return url
    if (child.exitCode !== null) throw new Error(`the server ended: see ${join(folder, 'serve.log')}`)
    await sleep(lookMs, undefined, { signal })
  }
  throw new Error(`the server does not answer: see ${join(folder, 'serve.log')}`)
}

/** Resolves with what `look` gives when that is not undefined; undefined after `timeoutMs`. */
export async function until<T>(
  look: () => Promise<T | undefined>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
    const found = await look()
    if (found !== undefined) return found
    await sleep(lookMs, undefined, { signal })
  }
  return undefined
}
