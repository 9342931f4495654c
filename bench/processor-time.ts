// Processor time of processes as the kernel counts it (proc(5)): of a server's verifier, and of PostgreSQL's processes for it.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerProcess } from './server-process.ts'

/** USER_HZ, which is 100 on all machines that Node runs on. */
const ticksPerSecond = 100
/** What a process used after it was last looked at is missed when it ends. */
const lookMs = 100

/** Share of a core that the verifier of this server takes in so many seconds, in percent; undefined where the system does not tell. */
export async function measureVerifierShare(server: ServerProcess, seconds: number): Promise<number | undefined> {
  const startedAt = performance.now()
  const before = readTicks(server)
  if (before.size === 0) return undefined
  const last = new Map(before)
  while (performance.now() < startedAt + seconds * 1_000) {
    await sleep(lookMs)
    for (const [pid, ticks] of readTicks(server)) last.set(pid, ticks)
  }
  const used = [...last].reduce((sum, [pid, ticks]) => sum + ticks - (before.get(pid) ?? 0), 0)
  return (used / ticksPerSecond / ((performance.now() - startedAt) / 1_000)) * 100
}

/** By process. */
function readTicks({ pid, dataDir }: ServerProcess): ReadonlyMap<number, number> {
  const [postmaster] = readText(join(dataDir, 'pg', 'postmaster.pid')).split('\n')
  const ticks = new Map<number, number>()
  for (const name of readFolder('/proc')) {
    const command = readText(`/proc/${name}/cmdline`)
    const isVerifier = command.includes('\0verify\0--watch')
    if (!isVerifier && !command.startsWith('postgres: verifier_role ')) continue
    // After the name in brackets, which may hold anything: state, parent; user and system time are the 12th and 13th.
    const fields = readText(`/proc/${name}/stat`).split(') ').at(-1)?.split(' ') ?? []
    if (fields[1] !== (isVerifier ? String(pid) : postmaster)) continue
    ticks.set(Number(name), Number(fields[11]) + Number(fields[12]))
  }
  return ticks
}

function readFolder(path: string): readonly string[] {
  try {
    return readdirSync(path).filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
}

/** Empty where the process has ended. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
