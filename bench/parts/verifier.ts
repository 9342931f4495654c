// What a server's verifier costs at full ingest and on an idle log, how far it lags, and how soon it tells of what a superuser did.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AlarmReceiver, openAlarmReceiver } from '../../src/cli/drill/alarm-receiver.ts'
import { withConnection } from '../../src/store/administrator.ts'
import { deleteEntry, editsOfEntry, undefended } from '../../src/store/drill/attacks.ts'
import type { Query } from '../../src/store/session.ts'
import { schema } from '../database.ts'
import { randomOf } from '../events.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { measureVerifierShare } from '../processor-time.ts'
import { removeFolder } from '../run-folder.ts'
import { type ServerProcess, startServer } from '../server-process.ts'
import { loadNdjson } from './ndjson.ts'

const verifiedWithinMs = 300_000
const noticedWithinMs = 180_000
const lookMs = 250

/** Servers with and without a verifier take turns; on the last one, which has one, what comes after the load is measured too. */
export async function measureVerifier(context: PartContext): Promise<Findings> {
  const list = new FindingsList()
  const { runs } = context.plan
  const receiver = await openAlarmReceiver()
  try {
    for (let run = 1; run <= runs; run++) {
      // Whoever comes second finds the disk busy with what the first one left: they change places.
      for (const verifies of run % 2 === 1 && run < runs ? [true, false] : [false, true]) {
        context.progress(`verifier: run ${run} of ${runs}, ${verifies ? 'with' : 'without'} it`)
        await withServer(context, verifies, receiver, async (server) => {
          const rate = await load(server, context.plan.ndjsonEntries)
          list.add(verifies ? 'verifier.ingestWith' : 'verifier.ingestWithout', rate)
          if (verifies) await measureAfterLoad(context, server, receiver, run === runs, list)
        })
      }
    }
  } finally {
    await receiver.close()
  }
  return list.findings
}

async function withServer(
  { folder, plan }: PartContext,
  verifies: boolean,
  receiver: AlarmReceiver,
  work: (server: ServerProcess) => Promise<void>,
): Promise<void> {
  const dataDir = join(folder, 'verifier')
  const settings = {
    DENDROLOG_VERIFIER: String(verifies),
    DENDROLOG_PUBLIC_METRICS: 'true',
    DENDROLOG_WEBHOOK_URL: receiver.webhookUrl('bench'),
    DENDROLOG_WEBHOOK_SECRET: receiver.secret,
  }
  const server = await startServer({ dataDir, settings, profileFolder: plan.profileFolder })
  try {
    await work(server)
  } finally {
    await server.stop()
    await removeFolder(dataDir)
  }
}

/** Entries a second. */
async function load(server: ServerProcess, entries: number): Promise<number> {
  const { elapsedMs } = await loadNdjson(server, entries, 0, false)
  return (entries * 1_000) / elapsedMs
}

async function measureAfterLoad(
  { plan, progress }: PartContext,
  server: ServerProcess,
  receiver: AlarmReceiver,
  isLast: boolean,
  list: FindingsList,
): Promise<void> {
  const entries = plan.ndjsonEntries
  const startedAt = performance.now()
  list.add('verifier.lag', entries - (await readVerifiedSize(server)))
  while ((await readVerifiedSize(server)) < entries) {
    if (performance.now() - startedAt > verifiedWithinMs) throw new Error('the verifier did not catch up')
    await sleep(lookMs)
  }
  list.add('verifier.caughtUp', (performance.now() - startedAt) / 1_000)
  if (!isLast) return
  progress(`verifier: idle for ${plan.idleSeconds} s`)
  const share = await measureVerifierShare(server, plan.idleSeconds)
  if (share !== undefined) list.add('verifier.idle', share)
  for (let run = 1; run <= plan.runs; run++) {
    progress(`verifier: attacks, run ${run} of ${plan.runs}`)
    await timeAttacks(server, receiver, entries, run, list)
  }
}

/** Each waits until the one before was told, so that none hides behind another. */
async function timeAttacks(
  server: ServerProcess,
  receiver: AlarmReceiver,
  entries: number,
  run: number,
  list: FindingsList,
): Promise<void> {
  const random = randomOf(run)
  const victim = (): number => Math.floor(random() * (entries - 2)) + 2
  const [updated, deleted] = [victim(), victim()]
  const attacks: readonly [string, number, (query: Query) => Promise<unknown>][] = [
    ['update', updated, (query) => query(editsOfEntry(schema).payload, [updated])],
    ['delete', deleted, (query) => deleteEntry(query, schema, deleted)],
    ['insert', deleted, (query) => query(insertCopy, [deleted, deleted - 1])],
  ]
  for (const [name, sequenceNumber, act] of attacks) {
    const seen = receiver.alarmsOf('bench').length
    await asSuperuser(server, act)
    const startedAt = performance.now()
    const isTold = (): boolean =>
      receiver
        .alarmsOf('bench')
        .slice(seen)
        .some((alarm) => alarm.sequenceNumber === sequenceNumber)
    while (!isTold()) {
      if (performance.now() - startedAt > noticedWithinMs) throw new Error(`nobody noticed: ${name} ${sequenceNumber}`)
      await sleep(lookMs)
    }
    list.add(`verifier.${name}`, (performance.now() - startedAt) / 1_000)
  }
}

/** A row in place of one that was deleted: all that its neighbour says, and its id. */
const insertCopy = `
  insert into ${schema.evidence}.audit_logs
    (sequence_number, timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip,
     event_id, writer, payload_hash, leaf_hash)
  select $1, timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip,
    event_id, writer, payload_hash, leaf_hash
  from ${schema.evidence}.audit_logs
  where sequence_number = $2`

async function asSuperuser(server: ServerProcess, act: (query: Query) => Promise<unknown>): Promise<void> {
  await withConnection(
    await server.adminConfig(),
    () => {},
    (client) => {
      const query: Query = async (text, values) => (await client.query(text, values && [...values])).rows
      return undefended(query, schema, () => act(query))
    },
  )
}

/** 0 before it has looked the first time. */
async function readVerifiedSize({ url }: ServerProcess): Promise<number> {
  const answer = await fetch(`${url}/metrics`)
  const text = await answer.text()
  if (answer.status !== 200) throw new Error(`/metrics: ${answer.status} ${text.slice(0, 200)}`)
  return Number(/^dendrolog_verified_size (\d+)$/m.exec(text)?.[1] ?? 0)
}
