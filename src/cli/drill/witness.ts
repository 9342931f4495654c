// Witnesses of a drill, and what auditors make of cosignatures: programs of their own.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunningProgram, runProgram, startProgram, until } from './program.ts'

export type DrillWitness = {
  readonly url: string
  readonly vkey: string
  readonly stop: RunningProgram['stop']
}

const startMs = 20_000
const names = ['w1', 'w2', 'w3']

/** Three witnesses of a log, in folders below `folder`. */
export async function startWitnesses(
  folder: string,
  logVkey: string,
  signal: AbortSignal,
): Promise<readonly DrillWitness[]> {
  await mkdir(folder)
  return Promise.all(names.map((name) => startWitness(join(folder, name), `${name}.drill.invalid`, logVkey, signal)))
}

async function startWitness(
  dataDir: string,
  name: string,
  logVkey: string,
  signal: AbortSignal,
): Promise<DrillWitness> {
  for (const args of [
    ['init', '--name', name, '--keys', 'ed25519'],
    ['add-log', logVkey],
  ]) {
    const { status, stderr } = await runProgram(['witness', ...args, '--data', dataDir], {})
    if (status !== 0) throw new Error(`witness ${args[0]}: ${stderr.trim()}`)
  }
  const place = { folder: dataDir, environment: {} }
  const running = startProgram(['witness', 'serve', '--data', dataDir, '--listen', '127.0.0.1:0', '--json'], place)
  const said = await until(
    async () => (running.output().includes('\n') ? running.output() : undefined),
    startMs,
    signal,
  )
  if (said === undefined) throw new Error(`the witness does not answer: see ${join(dataDir, 'witness.log')}`)
  const { url, vkeys } = JSON.parse(said) as { readonly url: string; readonly vkeys: readonly [string] }
  return { url, vkey: vkeys[0], stop: running.stop }
}

/** A policy by which two of three are the quorum, in a file. */
export async function writePolicy(file: string, logVkey: string, witnesses: readonly DrillWitness[]): Promise<string> {
  const lines = witnesses.map(({ vkey, url }, i) => `witness ${names[i]} ${vkey} ${url}`)
  await writeFile(file, `log ${logVkey}\n${lines.join('\n')}\ngroup two 2 ${names.join(' ')}\nquorum two\n`)
  return file
}

/** What `dendrolog check --policy` finds in a proof: its code, undefined where the proof holds. */
export async function refusalOf(
  file: string,
  proof: object,
  logVkey: string,
  policy: string,
): Promise<string | undefined> {
  await writeFile(file, JSON.stringify(proof))
  const { stdout } = await runProgram(['check', file, '--vkey', logVkey, '--policy', policy, '--json'], {})
  const { holds, code } = JSON.parse(stdout) as { readonly holds: boolean | null; readonly code: string | null }
  return holds === true ? undefined : (code ?? 'no code')
}
