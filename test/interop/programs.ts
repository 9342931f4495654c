/** Programs of others, and two mains around libraries of theirs (`go/`): built with the Go on the PATH, run with a limit. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export type Finished = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

/** What a check printed: the tree size that it saw, how many things held, how many requests were answered with 404. */
export type Held = { readonly size: number; readonly checked: number; readonly notFound?: number }

const buildMs = 400_000
const checkMs = 90_000

/** Everything of `go/`, at the versions and hashes of its go.mod and go.sum, into a folder. Throws with Go's words. */
export async function buildPrograms(folder: string): Promise<void> {
  const cwd = join(import.meta.dirname, 'go')
  // A Go that is older than what the modules want fetches a newer one.
  const env = { GOTOOLCHAIN: 'auto', CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' }
  const args = ['build', '-ldflags=-s -w', '-o', `${folder}/`, './ctcheck', './tilecheck', 'tool']
  const { status, stderr } = await runProgram('go', args, { env, cwd, limitMs: buildMs })
  if (status !== 0) throw new Error(`go build ended with status ${status}: ${stderr.slice(-3_000)}`)
}

/** Runs one of our two mains; throws with what it says where a check does not hold. */
export async function runCheck(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Held> {
  const { status, stdout, stderr } = await runProgram(file, args, { env, limitMs: checkMs })
  if (status !== 0) throw new Error(`status ${status}: ${stderr.slice(-3_000)}`)
  return JSON.parse(stdout) as Held
}

type Surroundings = {
  readonly limitMs: number
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Runs a program to its end; after `limitMs` it is killed, and its status is null. */
export async function runProgram(
  file: string,
  args: readonly string[],
  { limitMs, env, cwd }: Surroundings,
): Promise<Finished> {
  const child = spawn(file, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
    ...(cwd === undefined ? {} : { cwd }),
  })
  const out = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out.stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (out.stderr += chunk))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, ...out }
}
