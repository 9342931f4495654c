// 1,000 single POSTs a second with receipt, whatever the server does; latency counts from the intended time.
import { join } from 'node:path'
import { runLoad } from '../load/load-process.ts'
import type { SingleLoad, SingleResult } from '../load/single.ts'
import { type Findings, pacedIntervalsMs } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'
import { checkPublished } from './single.ts'

export const offeredPerSecond = 1_000
export const pacedConnections = 512

export async function measurePaced(context: PartContext): Promise<Findings> {
  const list = new FindingsList()
  for (const intervalMs of pacedIntervalsMs) await measureInterval(context, intervalMs, list)
  return list.findings
}

async function measureInterval(context: PartContext, intervalMs: number, list: FindingsList): Promise<void> {
  const dataDir = join(context.folder, `paced-${intervalMs}`)
  const settings = { DENDROLOG_CHECKPOINT_INTERVAL_MS: String(intervalMs) }
  const server = await startServer({ dataDir, settings, profileFolder: context.plan.profileFolder })
  try {
    await measureRuns(context, server, intervalMs, list)
    await checkPublished(server)
    const use = server.memory()
    if (use !== undefined) list.add(`paced.${intervalMs}.memory`, use.peakMb)
  } finally {
    await server.stop()
    await removeFolder(dataDir)
  }
}

async function measureRuns(
  { plan, progress }: PartContext,
  server: ServerProcess,
  intervalMs: number,
  list: FindingsList,
): Promise<void> {
  const token = await server.readToken('writer')
  const measure = (seconds: number): Promise<SingleResult> =>
    runLoad<SingleLoad, SingleResult>('./single.js', {
      port: server.port,
      token,
      path: '/v1/entries',
      connections: pacedConnections,
      seconds,
      offered: offeredPerSecond,
    })
  await measure(plan.warmUpSeconds)
  for (let run = 1; run <= plan.runs; run++) {
    progress(`paced: interval ${intervalMs} ms, run ${run} of ${plan.runs}`)
    const { p50Ms, p95Ms, p99Ms, failed, failure } = await measure(plan.pacedSeconds)
    if (failure !== undefined) progress(`paced: ${failed} requests failed, the first with ${failure}`)
    list.add(`paced.${intervalMs}.p50`, p50Ms)
    list.add(`paced.${intervalMs}.p95`, p95Ms)
    list.add(`paced.${intervalMs}.p99`, p99Ms)
    list.add(`paced.${intervalMs}.failed`, failed)
  }
}
