// What a larger log costs: the same measures at two sizes of one log, with the search follower running all the time.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runLoad } from '../load/load-process.ts'
import type { NdjsonLoad, NdjsonResult } from '../load/ndjson.ts'
import type { ReadLoad, ReadResult } from '../load/reads.ts'
import { readByWrk } from '../load/wrk.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { checkExtends, checkSample, readCheckpoint, readVerifier, waitPublished } from '../published.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'
import { readLag, timeSearches } from './growth-search.ts'
import { ndjsonConnections, recordsPerBody } from './ndjson.ts'

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
    await killUnderLoad(context, server)
    server = await startServer({ dataDir, profileFolder })
    list.add('growth.startKilled', server.readyMs / 1_000)
    await checkSample(server, await readVerifier(server), context.plan.growthLarge)
  } finally {
    await server.stop()
    await removeFolder(dataDir)
  }
  return list.findings
}

async function measureSizes(context: PartContext, server: ServerProcess, list: FindingsList): Promise<void> {
  const { growthSmall, growthLarge } = context.plan
  const slice = growthSmall / 2
  const verifier = await readVerifier(server)
  let before = await readCheckpoint(server, verifier)
  for (const [name, from, to] of [
    ['small', 0, growthSmall],
    ['large', growthSmall, growthLarge],
  ] as const) {
    // The last slices before each size are what is measured.
    await load(context, server, from, to - 2 * slice)
    for (const at of [to - 2 * slice, to - slice]) {
      list.add(`growth.${name}Ingest`, await load(context, server, Math.max(from, at), at + slice))
    }
    list.add(`growth.${name}Lag`, await catchUp(server, to))
    const checkpoint = await waitPublished(server, verifier, to)
    await checkSample(server, verifier, to)
    await checkExtends(server, before, checkpoint)
    before = checkpoint
    await measureReads(context, server, name, to, list)
  }
}

/** Entries a second, from the first request to the last answer. */
async function load(context: PartContext, server: ServerProcess, from: number, to: number): Promise<number> {
  if (from >= to) return 0
  context.progress(`growth: ${from} to ${to} entries`)
  const { elapsedMs } = await runLoad<NdjsonLoad, NdjsonResult>('./ndjson.js', {
    port: server.port,
    token: await server.readToken('writer'),
    connections: ndjsonConnections,
    bodies: (to - from) / recordsPerBody,
    recordsPerBody,
    firstNumber: from,
    withIds: false,
  })
  return ((to - from) / elapsedMs) * 1_000
}

async function killUnderLoad(context: PartContext, server: ServerProcess): Promise<void> {
  const { growthLarge, growthSmall } = context.plan
  const loading = load(context, server, growthLarge, growthLarge + growthSmall).catch(() => 0)
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
