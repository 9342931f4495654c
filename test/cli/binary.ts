/** The real program, as `npm run build` made it, on data folders below the system's for temporary files. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const program = join(import.meta.dirname, '..', '..', 'dist', 'src', 'cli', 'main.js')

export type Finished = { readonly status: number | null; readonly stdout: string; readonly stderr: string }
export type Environment = Readonly<Record<string, string>>

export type RunningServer = {
  readonly child: ChildProcess
  readonly url: string
  /** All that was printed until it was ready. */
  readonly stdout: string
  /** SIGTERM, and the exit status. */
  stop(): Promise<number | null>
}

const startMs = 60_000

/** Settings of the caller must not reach the program. */
function environmentOf(environment: Environment): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'TMPDIR']
  return { ...Object.fromEntries(names.map((name) => [name, process.env[name]])), ...environment }
}

export async function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'dendrolog-cli-'))
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
}

export function spawnProgram(args: readonly string[], environment: Environment, cwd = tmpdir()): ChildProcess {
  return spawn(process.execPath, [program, ...args], { env: environmentOf(environment), cwd, stdio: 'pipe' })
}

/** Runs the program to its end. */
export async function run(
  args: readonly string[],
  environment: Environment = {},
  input: string | Uint8Array = '',
  cwd = tmpdir(),
): Promise<Finished> {
  const child = spawnProgram(args, environment, cwd)
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  return finished(child)
}

/** Runs a command line as a newcomer who pastes it. */
export async function runShell(commandLine: string, cwd: string): Promise<Finished> {
  return finished(spawn('sh', ['-c', commandLine], { env: environmentOf({}), cwd, stdio: 'pipe' }))
}

export async function finished(child: ChildProcess): Promise<Finished> {
  const out = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => (out.stdout += chunk))
  child.stderr?.on('data', (chunk) => (out.stderr += chunk))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, ...out }
}

/** Starts `serve` on a free port and waits until it says that it is ready. */
export async function startServer(dataDir: string, environment: Environment = {}): Promise<RunningServer> {
  const child = spawnProgram(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: '0', ...environment })
  const ended = once(child, 'close') as Promise<[number | null]>
  const stdout = await readUntilReady(child)
  const url = /ready on (https?:\S+)/.exec(stdout)?.[1] ?? ''
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM')
    return (await ended)[0]
  }
  return { child, url, stdout, stop }
}

function readUntilReady(child: ChildProcess): Promise<string> {
  let stdout = ''
  let stderr = ''
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(new Error(`the server did not get ready: ${stdout}${stderr}`))
    const timer = setTimeout(fail, startMs)
    child.once('close', fail)
    child.stderr?.on('data', (chunk) => (stderr += chunk))
    child.stdout?.on('data', (chunk) => {
      stdout += chunk
      if (!stdout.includes('--vkey') || !stdout.endsWith('\n\n')) return
      clearTimeout(timer)
      resolve(stdout)
    })
  })
}

/** The indented command lines that a first start prints. */
export function printedCommands(stdout: string): { readonly append: string; readonly check: string } {
  const [append, check] = [...stdout.matchAll(/^ {2}(\S(?:.*\\\n)*.*)$/gm)].map(([, command]) => command ?? '')
  return { append: append ?? '', check: check ?? '' }
}
