// Closed-loop load by wrk, where it is installed: it costs a third of what a client in JavaScript costs.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventJson } from '../events.ts'
import type { ReadLoad, ReadResult } from './reads.ts'
import type { SingleLoad, SingleResult } from './single.ts'

const execute = promisify(execFile)
// The scripts stand beside the sources: tsc copies no Lua.
const scripts = join(import.meta.dirname, '..', '..', '..', 'bench', 'load')
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

export async function postByWrk(load: SingleLoad): Promise<SingleResult> {
  const environment = { BENCH_TOKEN: load.token, BENCH_BODY: eventJson(1) }
  const report = await runWrk('post.lua', load, load.path, environment)
  return {
    rate: rateOf(report),
    p50Ms: report.p50Us / 1_000,
    p95Ms: report.p95Us / 1_000,
    p99Ms: report.p99Us / 1_000,
    failed: report.refused + report.lost,
  }
}

export async function readByWrk(load: ReadLoad): Promise<ReadResult> {
  const environment = { BENCH_PATH: load.path, BENCH_BELOW: String(load.below) }
  const report = await runWrk('get.lua', load, '/', environment)
  return { rate: rateOf(report), p95Ms: report.p95Us / 1_000, failed: report.refused + report.lost }
}

type Shape = { readonly port: number; readonly connections: number; readonly seconds: number }

async function runWrk(
  script: string,
  { port, connections, seconds }: Shape,
  path: string,
  environment: Readonly<Record<string, string>>,
): Promise<WrkReport> {
  const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', `${timeoutSeconds}s`]
  const url = `http://127.0.0.1:${port}${path}`
  const env = { ...process.env, ...environment }
  const { stdout } = await execute('wrk', [...args, '-s', join(scripts, script), url], { env })
  const line = stdout.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`wrk: ${stdout.slice(-300)}`)
  return JSON.parse(line) as WrkReport
}

function rateOf({ requests, refused, durationUs }: WrkReport): number {
  return ((requests - refused) / durationUs) * 1e6
}
