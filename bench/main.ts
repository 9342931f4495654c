// `npm run bench`: measures part after part, prints the table and writes it to bench/results.md (--quick: results-quick.md).
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withConnection } from '../src/store/administrator.ts'
import { clusterSettings } from '../src/store/embedded/settings.ts'
import { withCluster } from './database.ts'
import { payloadShape } from './events.ts'
import { findWrk } from './load/wrk.ts'
import { describeMachine, type Facts } from './machine.ts'
import { type Findings, measures, type Outcome, type PartName, partNames } from './measures.ts'
import type { Part, PartContext } from './part.ts'
import { measureBaseline } from './parts/baseline.ts'
import { measureCosigned } from './parts/cosigned.ts'
import { measureEvidence } from './parts/evidence.ts'
import { measureGrowth } from './parts/growth.ts'
import { measureHashing } from './parts/hashing.ts'
import { measureLimit } from './parts/limit.ts'
import { measureNdjson, ndjsonConnections, recordsPerBody } from './parts/ndjson.ts'
import { measurePaced, offeredPerSecond, pacedConnections } from './parts/paced.ts'
import { measureSingle } from './parts/single.ts'
import { measureStart } from './parts/start.ts'
import { measureVerifier } from './parts/verifier.ts'
import { measureWitness } from './parts/witness.ts'
import { batchEntries, type Plan, readPlan, resultsFileOf, usage } from './plan.ts'
import { formatMarkdown, formatTerminal } from './report.ts'
import { makeRunFolder, removeFolder } from './run-folder.ts'
import { median } from './statistics.ts'

const parts: Readonly<Record<PartName, Part>> = {
  baseline: measureBaseline,
  limit: measureLimit,
  hashing: measureHashing,
  ndjson: measureNdjson,
  single: measureSingle,
  paced: measurePaced,
  start: measureStart,
  verifier: measureVerifier,
  witness: measureWitness,
  cosigned: measureCosigned,
  evidence: measureEvidence,
  growth: measureGrowth,
}

const benchFolder = join(import.meta.dirname, '..', '..', 'bench')

/** Measures what the plan asks for. The exit status is 1 where something of that could not be measured. */
async function bench(plan: Plan, date: string, signal: AbortSignal): Promise<number> {
  const folder = await makeRunFolder(plan.folder)
  try {
    const wrk = await findWrk()
    const machine = await describeMachine(folder)
    const settings = await describeSettings(plan, folder, wrk)
    const progress = (message: string): void => {
      signal.throwIfAborted()
      process.stderr.write(`${message}\n`)
    }
    const outcomes = await measureParts({ plan, folder, wrk, progress }, signal)
    const report = { date, machine, settings, outcomes }
    process.stdout.write(formatTerminal(report))
    const results = resultsFileOf(plan)
    if (results !== undefined) await writeFile(join(benchFolder, results), formatMarkdown(report))
    return [...outcomes.values()].some(({ kind }) => kind === 'failed') ? 1 : 0
  } finally {
    await removeFolder(folder)
  }
}

async function measureParts(context: PartContext, signal: AbortSignal): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>()
  for (const part of partNames) {
    const outcome = context.plan.parts.includes(part) ? await measurePart(part, context, signal) : notAskedFor
    for (const { id } of measures.filter((measure) => measure.part === part)) outcomes.set(id, outcome(id))
  }
  for (const [id, outcome] of ratiosOf(outcomes)) outcomes.set(id, outcome)
  return outcomes
}

type OutcomeOf = (id: string) => Outcome

const notAskedFor: OutcomeOf = () => ({ kind: 'skipped', reason: 'not asked for (--only)' })

/** A part that fails leaves the others to be measured. */
async function measurePart(part: PartName, context: PartContext, signal: AbortSignal): Promise<OutcomeOf> {
  try {
    const findings = await parts[part](context)
    return (id) => measured(findings, id)
  } catch (error) {
    signal.throwIfAborted()
    const reason = error instanceof Error ? error.message : String(error)
    context.progress(`${part}: failed: ${reason}`)
    return () => ({ kind: 'failed', reason: reason.replaceAll(/\s+/g, ' ').slice(0, 200) })
  }
}

function measured(findings: Findings, id: string): Outcome {
  const values = findings[id]
  if (values !== undefined) return { kind: 'measured', values }
  return { kind: 'skipped', reason: 'this system does not tell' }
}

/** Each run's rate over the other rate's median. */
function ratiosOf(outcomes: ReadonlyMap<string, Outcome>): [string, Outcome][] {
  const ratios = {
    limit: ['ndjson.rate', 'limit.ledger'],
    baseline1: ['ndjson.rate', 'baseline.1.rate'],
    baseline16: ['ndjson.rate', 'baseline.16.rate'],
    growth: ['growth.largeIngest', 'growth.smallIngest'],
    verifier: ['verifier.ingestWith', 'verifier.ingestWithout'],
    cosigned: ['cosigned.ingestWith', 'cosigned.ingestWithout'],
    verify: ['growth.largeVerify', 'growth.smallVerify'],
    smallPaged: ['growth.smallVerify', 'growth.smallPaged'],
    largePaged: ['growth.largeVerify', 'growth.largePaged'],
  } as const
  return Object.entries(ratios).map(([name, [rateId, divisorId]]) => {
    const rate = outcomes.get(rateId)
    const divisor = outcomes.get(divisorId)
    if (rate?.kind !== 'measured') return [`ratios.${name}`, { kind: 'skipped', reason: 'no rate to divide' }]
    if (divisor?.kind !== 'measured') return [`ratios.${name}`, { kind: 'skipped', reason: 'nothing to divide by' }]
    const values = rate.values.map((value) => value / median(divisor.values))
    return [`ratios.${name}`, { kind: 'measured', values }]
  })
}

/** Settings of the database as it answers them, and those of the load. */
async function describeSettings(plan: Plan, folder: string, wrk: string | undefined): Promise<Facts> {
  const database = await readDatabaseSettings(folder)
  const { runs, ndjsonEntries, singleSeconds, pacedSeconds, growthSmall, growthLarge, readSeconds } = plan
  return [
    ...database,
    ['runs', `${runs}${plan.isQuick ? ' (quick: fewer and shorter ones than the figures are meant for)' : ''}`],
    ['batch', `at most ${batchEntries} entries a commit`],
    ['checkpoint interval', '200 ms where nothing else is said'],
    ['payload', payloadShape],
    ['NDJSON', `${ndjsonEntries} entries, ${recordsPerBody} a body, ${ndjsonConnections} connections`],
    ['single, closed loop', `${singleSeconds} s a run, by ${wrk ?? 'a client of our own (wrk is not installed)'}`],
    ['single, offered', `${offeredPerSecond}/s for ${pacedSeconds} s a run, ${pacedConnections} connections`],
    ['growth', `small is ${growthSmall} entries, large ${growthLarge}; reads ${readSeconds} s a run, 64 connections`],
    ['load generator', 'a process of its own, on the same cores'],
  ]
}

async function readDatabaseSettings(folder: string): Promise<Facts> {
  return withCluster(join(folder, 'settings'), ({ config }) =>
    withConnection(
      config,
      () => {},
      async (client) => {
        const names = ['server_version', ...Object.keys(clusterSettings).filter((name) => shownSettings.has(name))]
        const { rows } = await client.query<{ name: string; value: string }>(
          `select name, current_setting(name) as value
         from unnest($1::text[]) as name`,
          [names],
        )
        return rows.map(({ name, value }) => [name === 'server_version' ? 'PostgreSQL' : name, value] as const)
      },
    ),
  )
}

/** Those that durability and throughput depend on. */
const shownSettings: ReadonlySet<string> = new Set([
  ...['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_buffers', 'max_wal_size'],
])

function readPlanOrExit(): Plan {
  try {
    return readPlan(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`)
    process.exit(2)
  }
}

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => interrupted.abort(new Error(`interrupted by ${name}`)))
}
try {
  process.exitCode = await bench(readPlanOrExit(), new Date().toISOString(), interrupted.signal)
} catch (error) {
  if (!interrupted.signal.aborted) throw error
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
