import { spawn } from 'node:child_process'

/** Who a command runs as. `search`: with CAP_DAC_READ_SEARCH, so that it passes folders closed to that user. */
export type RunAs =
  | { readonly kind: 'self' }
  | { readonly kind: 'user'; readonly uid: number; readonly gid: number; readonly search: boolean }

export interface CommandResult {
  /** Exit status; null if it did not start or died of a signal. */
  readonly status: number | null
  /** Standard output, then standard error, the first 16 KiB. */
  readonly output: string
}

const outputCharsMax = 16_384

/** Where programs are looked for. Fixed, so that the caller's environment cannot choose another PostgreSQL. */
export const searchPath: readonly string[] = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
  '/opt/homebrew/bin',
]

// Nothing is inherited: PGPORT, PGDATA or PGOPTIONS of the caller would reach the postmaster.
const environment = { PATH: searchPath.join(':'), LC_ALL: 'C', TZ: 'UTC' }

// Ambient capabilities survive the change of user only with no_setuid_fixup. The bounding set keeps the
// postmaster from ever getting another one.
const setprivCapabilities = [
  '--clear-groups',
  '--securebits=+no_setuid_fixup',
  '--inh-caps=-all,+dac_read_search',
  '--ambient-caps=+dac_read_search',
  '--bounding-set=-all,+dac_read_search',
]

/**
 * Runs a program in `/` and waits for it, at most `timeoutMs`; then, or when `signal` fires, it is killed.
 * Never throws: a program that cannot be started has status null and the reason as its output.
 */
export function runCommand(
  runAs: RunAs,
  file: string,
  args: readonly string[],
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<CommandResult> {
  const command = commandFor(runAs, file, args)
  return new Promise((resolve) => {
    const child = spawn(command.file, command.args, {
      cwd: '/',
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      killSignal: 'SIGKILL',
      ...command.identity,
      ...(signal === undefined ? {} : { signal }),
    })
    // Not spawn's own time-out: that outlives a program that could not be started, and the process with it.
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    const finish = (result: CommandResult): void => {
      clearTimeout(timer)
      resolve(result)
    }
    let output = ''
    const collect = (chunk: Buffer): void => {
      if (output.length < outputCharsMax) output += chunk.toString('utf8')
    }
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    child.on('error', (error) => finish({ status: null, output: output + error.message }))
    child.on('close', (status, by) =>
      finish({ status, output: by === null ? output : `${output}\n${file}: ended by ${by}` }),
    )
  })
}

interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly identity: { uid?: number; gid?: number }
}

function commandFor(runAs: RunAs, file: string, args: readonly string[]): Command {
  if (runAs.kind === 'self') return { file, args, identity: {} }
  if (!runAs.search) return { file, args, identity: { uid: runAs.uid, gid: runAs.gid } }
  const user = [`--reuid=${runAs.uid}`, `--regid=${runAs.gid}`]
  return { file: 'setpriv', args: [...user, ...setprivCapabilities, file, ...args], identity: {} }
}
