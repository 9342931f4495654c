// A log with three witnesses of which two are the quorum: how long a client waits for their cosignatures, and what they
// and a time-stamp authority cost at full ingest.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runLoad } from '../load/load-process.ts'
import type { SingleLoad, SingleResult } from '../load/single.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'
import { type BenchAuthority, startAuthority } from '../time-stamp-authority.ts'
import { type BenchWitness, startWitness } from '../witness-process.ts'
import { loadNdjson } from './ndjson.ts'

const witnesses = 3
const recordsPerBody = 50
const bodiesPerSecond = 100
const connections = 256

export async function measureCosigned(context: PartContext): Promise<Findings> {
  const list = new FindingsList()
  const { runs, ndjsonEntries } = context.plan
  for (let run = 1; run <= runs; run++) {
    // Whoever comes second finds the disk busy with what the first one left: they change places.
    for (const isWitnessed of run % 2 === 1 ? [true, false] : [false, true]) {
      context.progress(`cosigned: run ${run} of ${runs}, ${isWitnessed ? 'with' : 'without'} witnesses`)
      await withServer(context, isWitnessed, async (server) => {
        if (isWitnessed) await measureWait(context, server, list)
        const { elapsedMs } = await loadNdjson(server, ndjsonEntries, 10_000_000, false)
        list.add(isWitnessed ? 'cosigned.ingestWith' : 'cosigned.ingestWithout', (ndjsonEntries * 1_000) / elapsedMs)
      })
    }
  }
  return list.findings
}

async function measureWait({ plan, progress }: PartContext, server: ServerProcess, list: FindingsList): Promise<void> {
  const load = {
    ...{ port: server.port, token: await server.readToken('writer'), path: '/v1/entries?wait=witnessed' },
    ...{ connections, offered: bodiesPerSecond, recordsPerBody },
  }
  const measure = (seconds: number): Promise<SingleResult> =>
    runLoad<SingleLoad, SingleResult>('./single.js', { ...load, seconds })
  await measure(plan.warmUpSeconds)
  const { p50Ms, p99Ms, failed, failure } = await measure(plan.pacedSeconds)
  if (failure !== undefined) progress(`cosigned: ${failed} requests failed, the first with ${failure}`)
  list.add('cosigned.p50', p50Ms)
  list.add('cosigned.p99', p99Ms)
  list.add('cosigned.failed', failed)
}

/** The log is made first: its witnesses must know its key, and it theirs. */
async function withServer(
  { folder, plan }: PartContext,
  isWitnessed: boolean,
  work: (server: ServerProcess) => Promise<void>,
): Promise<void> {
  const dataDir = join(folder, 'cosigned')
  const first = await startServer({ dataDir })
  const { vkey } = (await (await fetch(`${first.url}/v1/log`)).json()) as { vkey: string }
  await first.stop()
  const started: BenchWitness[] = []
  const authority = await startAuthority(join(folder, 'authority'))
  try {
    for (let i = 1; isWitnessed && i <= witnesses; i++) {
      started.push(await startWitness(join(folder, `witness-${i}`), `bench.example/w${i}`, [vkey]))
    }
    const settings = isWitnessed ? await settingsOf(folder, started, authority) : {}
    const server = await startServer({ dataDir, settings, profileFolder: plan.profileFolder })
    try {
      await work(server)
    } finally {
      await server.stop()
    }
  } finally {
    for (const witness of started) await witness.stop()
    await authority.stop()
    await removeFolder(join(folder, 'authority'))
    await removeFolder(dataDir)
    for (let i = 1; i <= witnesses; i++) await removeFolder(join(folder, `witness-${i}`))
  }
}

async function settingsOf(
  folder: string,
  started: readonly BenchWitness[],
  { url, certificate }: BenchAuthority,
): Promise<Readonly<Record<string, string>>> {
  const authorities = join(folder, 'authorities')
  await writeFile(authorities, `bench ${url} ${certificate}\n`)
  return { DENDROLOG_WITNESS_POLICY: await writePolicy(folder, started), DENDROLOG_TIME_STAMPS: authorities }
}

async function writePolicy(folder: string, started: readonly BenchWitness[]): Promise<string> {
  const lines = started.map(({ vkey, url }, i) => `witness w${i + 1} ${vkey} ${url.href}`)
  const names = started.map((_, i) => `w${i + 1}`).join(' ')
  const path = join(folder, 'policy')
  await writeFile(path, `${lines.join('\n')}\ngroup two 2 ${names}\nquorum two\n`)
  return path
}
