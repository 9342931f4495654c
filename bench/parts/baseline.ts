// What a linear hash chain in a table costs when each entry is a transaction of its own that locks the last one.
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { withConnection } from '../../src/store/administrator.ts'
import { chainHash, chainText, genesisHash } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { withCluster } from '../database.ts'
import { eventJson } from '../events.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'

const writersOfRows = [1, 16] as const
const silent = (): void => {}

export async function measureBaseline({ plan, folder, progress }: PartContext): Promise<Findings> {
  const list = new FindingsList()
  await withCluster(join(folder, 'baseline'), async ({ config }) => {
    for (const writers of writersOfRows) {
      for (let run = 1; run <= plan.runs; run++) {
        progress(`baseline: ${writers} writer(s), run ${run} of ${plan.runs}`)
        const { committed, failed, elapsedMs } = await measureRun(config, writers, plan.baselineSeconds)
        list.add(`baseline.${writers}.rate`, (committed * 1_000) / elapsedMs)
        list.add(`baseline.${writers}.failures`, (100 * failed) / (committed + failed))
      }
    }
  })
  return list.findings
}

type Tally = { committed: number; failed: number; next: number }

async function measureRun(
  config: ClientConfig,
  writers: number,
  seconds: number,
): Promise<Tally & { elapsedMs: number }> {
  await withConnection(config, silent, (client) => client.query(freshTable))
  const clients = await Promise.all(Array.from({ length: writers }, () => openClient(config)))
  const tally: Tally = { committed: 0, failed: 0, next: 0 }
  try {
    const startedAt = performance.now()
    const endsAt = startedAt + seconds * 1_000
    await Promise.all(clients.map((client) => writeUntil(client, endsAt, tally)))
    return { ...tally, elapsedMs: performance.now() - startedAt }
  } finally {
    await Promise.all(clients.map((client) => client.end()))
  }
}

const freshTable = `
  drop schema if exists baseline cascade;
  create schema baseline;
  create table baseline.audit_logs (
    id bigserial primary key,
    sequence_number bigint not null unique,
    timestamp timestamptz not null default now(),
    actor_id varchar(255) not null,
    action varchar(100) not null,
    resource varchar(255) not null,
    payload jsonb not null,
    previous_hash varchar(64) not null,
    current_hash varchar(64) not null,
    client_ip varchar(45)
  );`

async function openClient(config: ClientConfig): Promise<Client> {
  const client = new Client(config)
  await client.connect()
  return client
}

async function writeUntil(client: Client, endsAt: number, tally: Tally): Promise<void> {
  while (performance.now() < endsAt) {
    try {
      await writeOne(client, JSON.parse(eventJson(tally.next++)) as Event)
      tally.committed++
    } catch (error) {
      if (!isConflict(error)) throw error
      tally.failed++
      await client.query('rollback')
    }
  }
}

/** Serialization failure, deadlock, or the same sequence number taken by another. */
function isConflict(error: unknown): boolean {
  return ['40001', '40P01', '23505'].includes((error as { code?: string }).code ?? '')
}

type Event = {
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly payload: object
}

async function writeOne(client: Client, { actorId, action, resource, payload }: Event): Promise<void> {
  await client.query('begin isolation level serializable')
  const { rows } = await client.query<{ sequence_number: string; current_hash: string }>(
    `select sequence_number, current_hash
     from baseline.audit_logs
     order by sequence_number desc
     limit 1
     for update`,
  )
  const sequenceNumber = (Number(rows[0]?.sequence_number ?? 0) + 1) as SequenceNumber
  const previous = rows[0]?.current_hash ?? genesisHash
  const text = chainText(payload)
  const current = chainHash(sequenceNumber, actorId, action, resource, text, previous, nativeSha256)
  await client.query(
    `insert into baseline.audit_logs
       (sequence_number, actor_id, action, resource, payload, previous_hash, current_hash, client_ip)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [sequenceNumber, actorId, action, resource, text, previous, current, '127.0.0.1'],
  )
  await client.query('commit')
}
