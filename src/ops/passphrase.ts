import { execFile } from 'node:child_process'
import type { Command } from './outside-command.ts'

/** Says the passphrase of key files; undefined where there is none. */
export type Unlock = (() => Promise<string>) | undefined

const withinMs = 30_000
const bytesMax = 4_096
const said = new Map<string, Promise<string>>()

/** By a command, which is asked once in a process. */
export function unlockBy(command: Command | undefined): Unlock {
  if (command === undefined) return undefined
  return () => {
    const key = JSON.stringify(command)
    const asked = said.get(key) ?? ask(command)
    said.set(key, asked)
    // Who could not be asked may be asked again.
    asked.catch(() => said.delete(key))
    return asked
  }
}

/** The first line that the program writes; Rejects where it ends otherwise, writes none, or takes longer than 30 s. */
function ask([program, ...args]: Command): Promise<string> {
  const options = { timeout: withinMs, killSignal: 'SIGKILL', maxBuffer: bytesMax, encoding: 'utf8' } as const
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, options, (error, stdout) => {
      // Not its message: that quotes what it wrote.
      if (error !== null) return reject(new Error(`the passphrase command ${howItEnded(error)}`))
      const [line = ''] = stdout.split('\n', 1)
      if (line === '') return reject(new Error('the passphrase command wrote no line'))
      resolve(line)
    })
    child.stdin?.end()
  })
}

function howItEnded(error: Error & { readonly code?: unknown; readonly killed?: boolean }): string {
  if (error.killed === true) return `did not end within ${withinMs / 1_000} s, or wrote too much`
  return typeof error.code === 'number' ? `ended with status ${error.code}` : `could not be started (${error.code})`
}
