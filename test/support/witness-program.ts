/** `dendrolog witness serve` as a process of its own: to ask, and to kill. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { spawnProgram } from '../cli/binary.ts'

export type WitnessProcess = {
  readonly child: ChildProcess
  readonly url: string
  readonly vkeys: readonly string[]
  readonly ended: Promise<number | null>
  readonly stderr: () => string
}

const startMs = 20_000

/** Starts it on a folder that `witness init` has made, and waits until it listens. */
export async function startWitnessProgram(dataDir: string, listen = '127.0.0.1:0'): Promise<WitnessProcess> {
  const child = spawnProgram(['witness', 'serve', '--data', dataDir, '--listen', listen, '--json'], {})
  let [stdout, stderr] = ['', '']
  child.stderr?.on('data', (chunk) => (stderr += chunk))
  const ended = once(child, 'close').then(([status]) => status as number | null)
  const line = new Promise<string>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      stdout += chunk
      if (stdout.includes('\n')) resolve(stdout)
    })
  })
  const late = AbortSignal.timeout(startMs)
  const failed = ended.then((status) => `status ${status}: ${stderr}`)
  const first = await Promise.race([line, failed, once(late, 'abort').then(() => `silence: ${stderr}`)])
  const { url, vkeys } = (first.startsWith('{') ? JSON.parse(first) : {}) as { url?: string; vkeys?: string[] }
  if (url === undefined || vkeys === undefined) throw new Error(`the witness did not start: ${first}${await failed}`)
  return { child, url, vkeys, ended, stderr: () => stderr }
}
