// Closed-loop load by wrk, where it is installed: it costs a third of what a client in JavaScript costs.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventJson } from '../events.ts'
import type { SingleLoad, SingleResult } from './single.ts'

const execute = promisify(execFile)
// The script stands beside the sources: tsc copies no Lua.
const script = join(import.meta.dirname, '..', '..', '..', 'bench', 'load', 'post.lua')
const timeoutSeconds = 10

/** What wrk says of itself, undefined where it is not installed. */
export async function findWrk(): Promise<string | undefined> {
  // `wrk --version` prints its version and ends with 1.
  const { stdout } = await execute('wrk', ['--version']).catch((error: { stdout?: string }) => error)
  return /^wrk \S+/.exec(stdout ?? '')?.[0]
}

type WrkReport = {
  readonly requests: number
  readonly durationUs: number
  readonly p50Us: number
  readonly p95Us: number
  readonly p99Us: number
  /** Answers that are no success, which are among the requests; and what was not answered. */
  readonly refused: number
  readonly lost: number
}

export async function runWrk(load: SingleLoad): Promise<SingleResult> {
  const args = ['-t', '1', '-c', String(load.connections), '-d', `${load.seconds}s`, '--timeout', `${timeoutSeconds}s`]
  const env = { ...process.env, BENCH_TOKEN: load.token, BENCH_BODY: eventJson(1) }
  const url = `http://127.0.0.1:${load.port}${load.path}`
  const { stdout } = await execute('wrk', [...args, '-s', script, url], { env })
  const line = stdout.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk: ${stdout.slice(-300)}`)
  const report = JSON.parse(line) as WrkReport
  const answered = report.requests - report.refused
  return {
    rate: (answered / report.durationUs) * 1e6,
    p50Ms: report.p50Us / 1_000,
    p95Ms: report.p95Us / 1_000,
    p99Ms: report.p99Us / 1_000,
    failed: report.refused + report.lost,
  }
}
