// How fast PostgreSQL takes our rows when nobody has to make them: what any sequencer on it can reach at most.
import { join } from 'node:path'
import type { Batch } from '../../src/log/integrate.ts'
import { commitBatch } from '../../src/store/batch.ts'
import type { Cluster } from '../../src/store/embedded.ts'
import { ensurePartitions, insertFirstHead } from '../../src/store/heads.ts'
import { ledgerColumns } from '../../src/store/ledger-row.ts'
import { openSession, type Session } from '../../src/store/session.ts'
import { dropDatabase, type Ledger, makeLedger, schema, withCluster } from '../database.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { batchEntries } from '../plan.ts'
import { makeBatches } from '../submissions.ts'

const idleTimeoutMs = 60_000

export async function measureLimit({ plan, folder, progress }: PartContext): Promise<Findings> {
  const list = new FindingsList()
  progress('limit: making rows')
  const batches = await makeBatches(plan.limitBatches, Date.now())
  await withCluster(join(folder, 'limit'), async (cluster) => {
    for (let run = 1; run <= plan.runs; run++) {
      progress(`limit: run ${run} of ${plan.runs}`)
      list.add('limit.ledger', await measureRate(cluster, batches, copyLedgerRows))
      list.add('limit.commit', await measureRate(cluster, batches, commitWhole))
    }
  })
  return list.findings
}

type Write = (session: Session, batch: Batch) => Promise<void>

/** Entries a second, on a new ledger whose partitions are made. */
async function measureRate(cluster: Cluster, batches: readonly Batch[], write: Write): Promise<number> {
  const name = 'bench_limit'
  const session = await openWriter(await makeLedger(cluster, name), batches)
  try {
    const startedAt = performance.now()
    for (const batch of batches) await write(session, batch)
    return (batches.length * batchEntries * 1_000) / (performance.now() - startedAt)
  } finally {
    await session.close()
    await dropDatabase(cluster, name)
  }
}

async function openWriter({ writer }: Ledger, batches: readonly Batch[]): Promise<Session> {
  const session = await openSession(writer, idleTimeoutMs)
  await insertFirstHead(session.query, schema, new Uint8Array(32))
  await ensurePartitions(session.query, schema, batches.length * batchEntries)
  return session
}

async function copyLedgerRows(session: Session, { ledgerRows }: Batch): Promise<void> {
  await session.query('begin')
  const columns = ledgerColumns.join(', ')
  await session.copy(`copy ${schema.evidence}.audit_logs (${columns}) from stdin (format binary)`, ledgerRows)
  await session.commit()
}

function commitWhole(session: Session, { before, after, ledgerRows, idRows, fullTiles }: Batch): Promise<void> {
  const head = {
    treeSize: after.edge.size,
    root: after.root,
    chainHash: after.chainHash,
    frontier: after.edge.frontier,
    newestTimestamp: after.newestTimestamp,
    previousSize: before.edge.size,
    previousRoot: before.root,
    seal: new Uint8Array(32),
  }
  return commitBatch(session, schema, { head, ledgerRows, idRows, fullTiles })
}
