import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** A program and its arguments. */
export type Command = readonly [string, ...string[]]

const errorCharactersMax = 300
/** What it said last may come behind its end; its children may hold the pipe for ever. */
const lastWordsMs = 200

/**
 * Runs a program of somebody else with `input` on its standard input, without a shell between. Of the environment it gets
 * a PATH and nothing else: no password of ours. Rejects, saying why, unless it ends with status 0; after `withinMs`, and
 * when `signal` aborts, it is killed with its children.
 */
export async function runOutsideCommand(
  [program, ...args]: Command,
  input: string,
  withinMs: number,
  signal: AbortSignal,
): Promise<void> {
  const child = spawn(program, args, { ...spawnOptions, stdio: ['pipe', 'ignore', 'pipe'] })
  const stop = AbortSignal.any([signal, AbortSignal.timeout(withinMs)])
  const onStop = (): void => killGroup(child)
  stop.addEventListener('abort', onStop)
  try {
    if (stop.aborted) onStop()
    await runToEnd(child, input, () => {
      if (signal.aborted) return 'was stopped'
      return stop.aborted ? `did not end within ${withinMs} ms` : undefined
    })
  } finally {
    stop.removeEventListener('abort', onStop)
    // Whatever it left behind may hold the pipe.
    child.stderr?.destroy()
  }
}

/** In a group of its own, so that it can be killed with its children. */
const spawnOptions = { shell: false, detached: true, env: { PATH: '/usr/local/bin:/usr/bin:/bin' } } as const

/** Throws unless the program ends with status 0; `whyStopped` says why it was killed, if it was. */
async function runToEnd(child: ChildProcess, input: string, whyStopped: () => string | undefined): Promise<void> {
  let said = ''
  child.stderr?.on('data', (chunk) => (said = `${said}${chunk}`.slice(-errorCharactersMax)))
  // It need not read all of it; its status says whether it has what it needs.
  child.stdin?.on('error', () => {})
  child.stdin?.end(`${input}\n`)
  const [status, killedBy] = (await once(child, 'exit').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`the command could not be started: ${cause.code}`, { cause })
  })) as [number | null, NodeJS.Signals | null]
  if (status === 0) return
  await Promise.race([once(child, 'close'), sleep(lastWordsMs)])
  const how = whyStopped() ?? (status === null ? `was ended by ${killedBy}` : `ended with status ${status}`)
  const words = said.trim()
  throw new Error(`the command ${how}${words === '' ? '' : `: ${words}`}`)
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
