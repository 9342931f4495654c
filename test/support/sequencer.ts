/** A sequencer by itself, as `Log` would run it: without signer, lock and reopening. */
import type { ClientConfig } from 'pg'
import { DatabaseTime, systemClock } from '../../src/log/clock.ts'
import type { LogState } from '../../src/log/integrate.ts'
import { PendingPool } from '../../src/log/pool.ts'
import { Sequencer, type SequencerOptions } from '../../src/log/sequencer.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { sessionCommitter } from '../../src/store/committer.ts'
import { readClock, readNewestHead } from '../../src/store/heads.ts'
import { openPool, openSession } from '../../src/store/session.ts'
import { openTileStore } from '../../src/store/tile-store.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { edgeFromTiles } from '../../tlog/tree-edge.ts'
import { origin, schema, type TestLog } from './log.ts'

export type RunningSequencer = {
  readonly pool: PendingPool
  /** Rejects with what made it stop. */
  readonly running: Promise<void>
  /** Drains the pool; never rejects. */
  readonly stop: () => Promise<void>
}

/** The newest head of a database as a sequencer builds on it. */
export async function readLogState(reader: ClientConfig): Promise<LogState> {
  const pool = openPool(reader, 1, 10_000)
  try {
    const head = await readNewestHead(pool.query, schema)
    if (head === undefined) throw new Error('no log in this database')
    const tiles = openTileStore(pool.query, schema, nativeSha256)
    const edge = await edgeFromTiles(tiles, asTreeSize(head.treeSize), nativeSha256)
    return { edge, root: head.root, chainHash: head.chainHash, newestTimestamp: head.newestTimestamp }
  } finally {
    await pool.close()
  }
}

/** Runs a sequencer that builds on `state` in the database of the writer's connection. */
export async function runSequencer(
  log: TestLog,
  state: LogState,
  writer: ClientConfig = log.database.as('app_writer_role'),
  changes: Partial<SequencerOptions> = {},
): Promise<RunningSequencer> {
  const connections = openPool(writer, 2, 10_000)
  const committer = changes.committer ?? sessionCommitter(await openSession(writer, 5_000), schema)
  const databaseTime = new DatabaseTime()
  databaseTime.set(await readClock(connections.query))
  const pool = new PendingPool({ entriesMax: 10_000, bytesMax: 64_000_000 })
  const sequencer = new Sequencer(
    {
      ...{ origin, sealKey: log.keys.sealKey, schema, hash: nativeSha256, clock: systemClock, databaseTime, pool },
      batchLimits: { entriesMax: 1_000, bytesMax: 8_000_000 },
      prepareEarlyFrom: 256,
      commitTimeoutMs: 10_000,
      query: connections.query,
      checkMayWrite: () => {},
      onCommitted: () => {},
      ...changes,
      committer,
    },
    state,
  )
  const running = sequencer.run(new AbortController().signal)
  // Who does not look at it still looks at what became of the submissions.
  running.catch(() => {})
  const stop = async (): Promise<void> => {
    pool.close()
    await running.catch(() => {})
    await committer.close()
    await connections.close()
  }
  return { pool, running, stop }
}

/** Adds entries that nobody signs. */
export async function sequenceUnsigned(log: TestLog, submissions: Parameters<PendingPool['submit']>[0]): Promise<void> {
  const sequencer = await runSequencer(log, await readLogState(log.database.as('auditor_reader_role')))
  try {
    await sequencer.pool.submit(submissions)
  } finally {
    await sequencer.stop()
  }
}
