// Single POSTs in a closed loop: each connection sends its next event when the last one is answered.
import { join } from 'node:path'
import { eventJson } from '../events.ts'
import { runLoad } from '../load/load-process.ts'
import type { SingleLoad, SingleResult } from '../load/single.ts'
import { postByWrk } from '../load/wrk.ts'
import { type Findings, receiptConnections, singleConnections } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { checkOneReceipt, checkSample, readCheckpoint, readVerifier } from '../published.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'

const integratedPath = '/v1/entries?wait=integrated'
const receiptPath = '/v1/entries'

type Row = { readonly id: string; readonly path: string; readonly connections: number }

const rows: readonly Row[] = [
  ...singleConnections.map((connections) => ({ id: `integrated${connections}`, path: integratedPath, connections })),
  { id: `receipt${receiptConnections}`, path: receiptPath, connections: receiptConnections },
]

export async function measureSingle(context: PartContext): Promise<Findings> {
  const list = new FindingsList()
  const dataDir = join(context.folder, 'single')
  const server = await startServer({ dataDir, profileFolder: context.plan.profileFolder })
  try {
    for (const row of rows) await measureRow(context, server, row, list)
    await checkPublished(server)
    const use = server.memory()
    if (use !== undefined) list.add('single.memory', use.peakMb)
  } finally {
    await server.stop()
    await removeFolder(dataDir)
  }
  return list.findings
}

async function measureRow(context: PartContext, server: ServerProcess, row: Row, list: FindingsList): Promise<void> {
  const { runs, singleSeconds, warmUpSeconds } = context.plan
  const { path, connections } = row
  const token = await server.readToken('writer')
  const measure = (seconds: number): Promise<SingleResult> =>
    runClosedLoad(context, { port: server.port, token, path, connections, seconds, offered: undefined })
  await measure(warmUpSeconds)
  for (let run = 1; run <= runs; run++) {
    context.progress(`single: ${connections} connections, run ${run} of ${runs}`)
    const { rate, p50Ms, p99Ms, failed } = await measure(singleSeconds)
    list.add(`single.${row.id}.rate`, rate)
    list.add(`single.${row.id}.p50`, p50Ms)
    list.add(`single.${row.id}.p99`, p99Ms)
    list.add(`single.${row.id}.failed`, failed)
  }
}

function runClosedLoad({ wrk }: PartContext, load: SingleLoad): Promise<SingleResult> {
  return wrk === undefined ? runLoad<SingleLoad, SingleResult>('./single.js', load) : postByWrk(load)
}

export async function checkPublished(server: ServerProcess): Promise<void> {
  const verifier = await readVerifier(server)
  await checkOneReceipt(server, verifier, eventJson(0))
  await checkSample(server, verifier, (await readCheckpoint(server, verifier)).size)
}
