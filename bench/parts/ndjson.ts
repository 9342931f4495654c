// Bodies of 1,000 records on 16 connections, as fast as they are answered, against the real server on a new log.
import { join } from 'node:path'
import { Client } from 'pg'
import { runLoad } from '../load/load-process.ts'
import type { NdjsonLoad, NdjsonResult } from '../load/ndjson.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { checkExtends, checkSample, readCheckpoint, readVerifier, waitPublished } from '../published.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'

export const ndjsonConnections = 24
export const recordsPerBody = 1_000

/** Loads `entries` more, the first with this number; `withIds`: of clients. A multiple of a body's records. */
export async function loadNdjson(
  server: ServerProcess,
  entries: number,
  firstNumber: number,
  withIds: boolean,
): Promise<NdjsonResult> {
  return runLoad<NdjsonLoad, NdjsonResult>('./ndjson.js', {
    port: server.port,
    token: await server.readToken('writer'),
    connections: ndjsonConnections,
    bodies: entries / recordsPerBody,
    ...{ recordsPerBody, firstNumber, withIds },
  })
}

export async function measureNdjson(context: PartContext): Promise<Findings> {
  const list = new FindingsList()
  for (let run = 1; run <= context.plan.runs; run++) {
    for (const withIds of [false, true]) {
      context.progress(`ndjson: run ${run} of ${context.plan.runs}, ${withIds ? "clients' ids" : "server's ids"}`)
      await measureRun(context, withIds, list)
    }
  }
  return list.findings
}

async function measureRun({ plan, folder }: PartContext, withIds: boolean, list: FindingsList): Promise<void> {
  const dataDir = join(folder, 'ndjson')
  const server = await startServer({ dataDir, profileFolder: plan.profileFolder })
  try {
    await measureLoad(server, plan.ndjsonEntries, withIds, list)
  } finally {
    await server.stop()
    await removeFolder(dataDir)
  }
}

async function measureLoad(
  server: ServerProcess,
  entries: number,
  withIds: boolean,
  list: FindingsList,
): Promise<void> {
  const verifier = await readVerifier(server)
  const client = new Client(await server.adminConfig())
  await client.connect()
  try {
    const walBefore = await readWalPosition(client)
    const loading = loadNdjson(server, entries, 0, withIds)
    const [{ elapsedMs, refused }, early] = await Promise.all([loading, waitPublished(server, verifier, entries / 4)])
    const answeredAt = performance.now()
    const last = await waitPublished(server, verifier, entries)
    const publishedMs = performance.now() - answeredAt
    list.add(withIds ? 'ndjson.idsRate' : 'ndjson.rate', (entries / elapsedMs) * 1_000)
    list.add('ndjson.refused', refused)
    list.add('ndjson.published', publishedMs)
    list.add('ndjson.stored', (await readStoredBytes(client)) / entries)
    list.add('ndjson.wal', ((await readWalPosition(client)) - walBefore) / entries)
    await checkExtends(server, early, last)
    await checkComplete(server, client, entries)
    await checkSample(server, verifier, entries)
    addMemory(server, 'ndjson', list)
  } finally {
    await client.end()
  }
}

/** Throws unless ledger, known ids and checkpoint have as many entries as were acknowledged, with no gap. */
async function checkComplete(server: ServerProcess, client: Client, entries: number): Promise<void> {
  const { size } = await readCheckpoint(server, await readVerifier(server))
  const { rows } = await client.query<Record<string, string>>(
    `select
       (select count(*) from security.audit_logs) as ledger,
       (select max(sequence_number) from security.audit_logs) as last,
       (select count(*) from security.entry_ids) as ids`,
  )
  const counts = { checkpoint: size, ...rows[0] }
  if (Object.values(counts).every((count) => Number(count) === entries)) return
  throw new Error(`${entries} entries were acknowledged, but there are ${JSON.stringify(counts)}`)
}

export function addMemory(server: ServerProcess, part: string, list: FindingsList): void {
  const use = server.memory()
  if (use === undefined) return
  list.add(`${part}.memory`, use.peakMb)
  list.add(`${part}.memorySampled`, use.sampledMaxMb)
}

/** Bytes of WAL written since the cluster was made. */
async function readWalPosition(client: Client): Promise<number> {
  const result = await client.query<{ position: string }>(
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') as position`,
  )
  return Number(result.rows[0]?.position)
}

/** Tables, their indexes and what they keep out of line. */
async function readStoredBytes(client: Client): Promise<number> {
  const result = await client.query<{ bytes: string }>(
    `select sum(pg_total_relation_size(c.oid)) as bytes
     from pg_class c
     where c.relnamespace = 'security'::regnamespace
       and c.relkind in ('r', 'm')`,
  )
  return Number(result.rows[0]?.bytes)
}
