// What a larger log costs: the same measures at two sizes of one log, with the search follower running all the time.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runLoad } from '../load/load-process.ts'
import type { ReadLoad, ReadResult } from '../load/reads.ts'
import { readByWrk } from '../load/wrk.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { checkExtends, checkSample, readCheckpoint, readVerifier, waitPublished } from '../published.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'
import { measureBisect } from './growth-bisect.ts'
import { readLag, timeSearches } from './growth-search.ts'
import { measureVerify } from './growth-verify.ts'
import { loadNdjson } from './ndjson.ts'

const readConnections = 64
const caughtUpWithinMs = 300_000
const killAfterMs = 2_000

export async function measureGrowth(context: PartContext): Promise<Findings> {
  const list = new FindingsList()
  const dataDir = join(context.folder, 'growth')
  const { profileFolder } = context.plan
  let server = await startServer({ dataDir, profileFolder })
  try {
    await measureSizes(context, server, list)
    addMemory(server, list)
    await server.stop()
    server = await startServer({ dataDir, profileFolder })
    list.add('growth.startStopped', server.readyMs / 1_000)
    const size = context.plan.growthLarge + context.plan.growthSmall
    await killUnderLoad(context, server, size)
    server = await startServer({ dataDir, profileFolder })
    list.add('growth.startKilled', server.readyMs / 1_000)
    await checkSample(server, await readVerifier(server), size)
  } finally {
    await server.stop()
    await removeFolder(dataDir)
  }
  return list.findings
}

/**
 * At each size the same: search has all, reads are timed, and then ingestion onto a log of that size, by half a
 * `growthSmall` at a time. Both loads so begin with a follower that has nothing to do, and meet it far behind.
 */
async function measureSizes(context: PartContext, server: ServerProcess, list: FindingsList): Promise<void> {
  const { growthSmall, growthLarge } = context.plan
  const verifier = await readVerifier(server)
  let before = await readCheckpoint(server, verifier)
  let size = 0
  for (const [name, to] of [
    ['small', growthSmall],
    ['large', growthLarge],
  ] as const) {
    const rate = await load(context, server, size, to)
    // The load to the small size is that of the part `ndjson`.
    if (name === 'large') list.add('growth.wholeIngest', rate)
    list.add(`growth.${name}Lag`, await catchUp(server, to))
    const checkpoint = await waitPublished(server, verifier, to)
    await checkSample(server, verifier, to)
    await checkExtends(server, before, checkpoint)
    before = checkpoint
    await measureReads(context, server, name, to, list)
    await measureVerify(context, server, name, to, list)
    if (name === 'large') await measureBisect(context, server, to, list)
    for (size = to; size < to + growthSmall; size += growthSmall / 2) {
      list.add(`growth.${name}Ingest`, await load(context, server, size, size + growthSmall / 2))
    }
  }
}

/** Entries a second, from the first request to the last answer. */
async function load(context: PartContext, server: ServerProcess, from: number, to: number): Promise<number> {
  context.progress(`growth: ${from} to ${to} entries`)
  const { elapsedMs } = await loadNdjson(server, to - from, from, false)
  return ((to - from) / elapsedMs) * 1_000
}

async function killUnderLoad(context: PartContext, server: ServerProcess, size: number): Promise<void> {
  const loading = load(context, server, size, size + context.plan.growthSmall).catch(() => 0)
  await sleep(killAfterMs)
  await server.kill()
  await loading
}

/** Seconds until search has all entries. */
async function catchUp(server: ServerProcess, size: number): Promise<number> {
  const startedAt = performance.now()
  while ((await readLag(server, size)) > 0) {
    if (performance.now() - startedAt > caughtUpWithinMs) throw new Error('search did not catch up')
    await sleep(1_000)
  }
  return (performance.now() - startedAt) / 1_000
}

async function measureReads(
  context: PartContext,
  server: ServerProcess,
  name: 'small' | 'large',
  size: number,
  list: FindingsList,
): Promise<void> {
  const reads = {
    Inclusion: { path: `/v1/proofs/inclusion?index={index}&size=${size}`, below: size },
    Consistency: { path: `/v1/proofs/consistency?from={index}&to=${size}`, below: size },
    Tiles: { path: '/tile/0/{tile}', below: Math.floor(size / 256) },
  }
  for (const [kind, { path, below }] of Object.entries(reads)) {
    const readSome = (seconds: number): Promise<ReadResult> =>
      readPaths(context, { port: server.port, path, below, connections: readConnections, seconds })
    await readSome(context.plan.warmUpSeconds)
    for (let run = 1; run <= context.plan.runs; run++) {
      context.progress(`growth: ${size} entries, ${kind}, run ${run} of ${context.plan.runs}`)
      const { rate, p95Ms, failed } = await readSome(context.plan.readSeconds)
      list.add(`growth.${name}${kind}`, rate)
      list.add(`growth.${name}${kind}P95`, p95Ms)
      list.add('growth.failed', failed)
    }
  }
  for (let run = 1; run <= context.plan.runs; run++) {
    list.add(`growth.${name}Search`, await timeSearches(server, size, run))
  }
}

function readPaths({ wrk }: PartContext, load: ReadLoad): Promise<ReadResult> {
  return wrk === undefined ? runLoad<ReadLoad, ReadResult>('./reads.js', load) : readByWrk(load)
}

function addMemory(server: ServerProcess, list: FindingsList): void {
  const use = server.memory()
  if (use !== undefined) list.add('growth.memory', use.peakMb)
}
