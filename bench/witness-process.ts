// `dendrolog witness` as a child process: the folder is made here, the keys and the list of logs by the program's own code.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createWitness } from '../src/cli/witness/folder.ts'

export type BenchWitness = {
  readonly pid: number
  readonly url: URL
  /** Verifier key, Ed25519. */
  readonly vkey: string
  /** Seconds of processor time that it has used. */
  readonly processorSeconds: () => number
  readonly peakMb: () => number | undefined
  readonly stop: () => Promise<void>
}

const program = join(import.meta.dirname, '..', 'src', 'cli', 'main.js')
/** USER_HZ (proc(5)). */
const ticksPerSecond = 100

/** A witness of the logs of these verifier keys, on a free port. */
export async function startWitness(
  dataDir: string,
  name: string,
  logs: readonly string[],
  flags: readonly string[] = [],
): Promise<BenchWitness> {
  await createWitness(dataDir, name, ['ed25519'])
  await writeFile(join(dataDir, 'logs'), logs.map((vkey) => `log ${vkey}\n`).join(''), { mode: 0o600 })
  const args = [...flags, program, 'witness', 'serve', '--data', dataDir, '--listen', '127.0.0.1:0', '--json']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { url, vkeys } = JSON.parse(line.toString()) as { url: string; vkeys: string[] }
  const pid = child.pid ?? 0
  return {
    ...{ pid, url: new URL(url), vkey: vkeys[0] ?? '' },
    processorSeconds: () => {
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
    },
    peakMb: () => {
      const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      return kib === undefined ? undefined : (Number(kib) * 1_024) / 1e6
    },
    stop: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}
