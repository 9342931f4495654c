import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Sha256 } from '../../tlog/hash.ts'
import { SpareBuffers } from '../ops/spare-buffers.ts'
import { settleWithin } from '../ops/time-out.ts'
import type { Schema } from '../store/batch.ts'
import type { Committer } from '../store/committer.ts'
import { ensurePartitions, readClock } from '../store/heads.ts'
import { findKnownEntries, readIdsFrom } from '../store/known-entries.ts'
import type { Query } from '../store/session.ts'
import { batchTimestamp, type Clock, type DatabaseTime } from './clock.ts'
import { LogIncident, Unavailable } from './incident.ts'
import { type Batch, integrate, type LogState } from './integrate.ts'
import { BatchIds, IdJudge, idsToLookUp } from './known-ids.ts'
import type { Group, KnownSubmission, PendingPool, Placement, PoolLimits } from './pool.ts'
import { addIdRows, RecentIds } from './recent-ids.ts'
import type { SealKey } from './seal.ts'
import { sealedRows } from './sealed-rows.ts'
import type { Submission } from './submission.ts'

export type SequencerOptions = {
  readonly origin: string
  readonly sealKey: SealKey
  readonly schema: Schema
  readonly hash: Sha256
  readonly clock: Clock
  readonly databaseTime: DatabaseTime
  readonly pool: PendingPool
  /** What one commit takes at most. */
  readonly batchLimits: PoolLimits
  /** While a commit runs, the next batch is prepared as soon as this many entries are pending. */
  readonly prepareEarlyFrom: number
  /** Commits; also kept alive by this loop. */
  readonly committer: Committer
  /** The writer's other connections: look-ups, partitions. */
  readonly query: Query
  /** A commit without an answer for so long is one of unknown outcome. */
  readonly commitTimeoutMs: number
  /** Throws where nothing may be sequenced: a head that is unsigned for too long, say. Also asked while all is idle. */
  readonly checkMayWrite: () => void
  /** Told of each commit, before anybody who waits. */
  readonly onCommitted: (state: LogState, batch: Batch, seconds: number) => void
}

/** A batch with the requests that it answers. */
type Prepared = {
  readonly groups: readonly Group[]
  readonly placements: readonly Placement[]
  /** Undefined where every submission was known. */
  readonly batch: Batch | undefined
  readonly ids: BatchIds
}

const heartbeatMs = 1_000
/** So few entries are not committed before the loop had a turn: with many connections, a thousand are behind the first. */
const gatherBelow = 256
const partitionEntries = 65_536
/** Bytes; two batches of 8,192 ordinary entries have 12 million. */
const rowsKeptMax = 16_777_216
const noIds = new BatchIds(0)

/**
 * The one loop that gives entries their place: takes all that is pending, computes a batch on top of the last one, and
 * hands it to the committer while that still commits the one before. Any failure of a commit ends the loop: only a new
 * look at the database may start another.
 */
export class Sequencer {
  readonly #options: SequencerOptions
  /** What the next batch builds on: committed, or being committed. */
  #tip: LogState
  #partitionedTo = 0
  /** Partitions that are being made. */
  #partitioning: Promise<void> = Promise.resolve()
  #underway = noIds
  #recentIds = new RecentIds(Number.POSITIVE_INFINITY)
  /** For rows. */
  readonly #rows = new SpareBuffers(rowsKeptMax)
  #underwayGroups: readonly Group[] = []
  #committing: Promise<void> = Promise.resolve()
  /** How many batches were handed over and are not settled: two at most. */
  #unsettled = 0
  /** Since when the database has had no answer for a batch, by `performance.now()`. */
  #waitingSince: number | undefined
  #hasFailed = false

  constructor(options: SequencerOptions, state: LogState) {
    this.#options = options
    this.#tip = state
  }

  /** How long the database has kept a commit waiting. */
  get commitWaitMs(): number {
    return this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince
  }

  /** Runs until the pool is closed and drained, or `signal` aborts. Rejects with what made it stop. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#preparePartitions(this.#tip.edge.size)
    await this.#partitioning
    this.#recentIds = await this.#readRecentIds()
    const stopped = new AbortController()
    const stop = AbortSignal.any([signal, stopped.signal])
    const sequencing = this.#sequence(stop)
    const heartbeat = this.#heartbeat(stop)
    try {
      await Promise.race([sequencing, heartbeat])
    } finally {
      stopped.abort()
      // Only then the committer may be closed: nothing more is sent, everybody who was taken has an answer.
      await Promise.allSettled([sequencing, heartbeat, this.#partitioning])
      await this.#committing.catch(() => {})
    }
    await sequencing
  }

  async #sequence(signal: AbortSignal): Promise<void> {
    const { pool, batchLimits } = this.#options
    while (!signal.aborted && !pool.isDrained) {
      await pool.wait(() => this.#entriesWanted(), signal)
      if (signal.aborted) break
      if (this.#unsettled === 0) await this.#committing
      // Whatever else has arrived in this turn of the event loop comes along.
      if (pool.entries < gatherBelow) await nextTurn()
      const groups = pool.take(batchLimits)
      if (groups.length === 0) continue
      const prepared = await this.#prepare(groups)
      const before = this.#committing
      this.#committing = this.#commit(prepared, before)
      // Its failure is met above or below, before the next batch, or by whoever waits for entries.
      this.#committing.catch(() => pool.recheck())
      await before
      this.#remember(prepared)
    }
    await this.#committing
  }

  /** While a commit runs it pays to collect; a failed one must be noticed at once. */
  #entriesWanted(): number {
    if (this.#hasFailed) return 0
    return this.#unsettled > 0 ? this.#options.prepareEarlyFrom : 1
  }

  async #prepare(groups: readonly Group[]): Promise<Prepared> {
    try {
      this.#options.checkMayWrite()
      const timestamp = batchTimestamp(
        this.#options.clock(),
        this.#options.databaseTime.now(),
        this.#tip.newestTimestamp,
      )
      const ids = idsToLookUp(groups, this.#recentIds)
      const { query, schema } = this.#options
      const stored = ids.length === 0 ? [] : await findKnownEntries(query, schema, ids)
      const count = groups.reduce((sum, { submissions }) => sum + submissions.length, 0)
      const judge = new IdJudge(this.#underway, stored, this.#tip.edge.size + 1, count)
      const prepared = this.#place(groups, judge, timestamp)
      await this.#preparePartitions(this.#tip.edge.size)
      return prepared
    } catch (cause) {
      rejectGroups(groups, new Unavailable('the log cannot take entries now', 1, { cause }))
      throw cause
    }
  }

  #place(groups: readonly Group[], judge: IdJudge, timestamp: number): Prepared {
    const accepted: Submission[] = []
    const before = this.#tip
    const drafts = groups.map((group) => {
      const offset = accepted.length
      const known = judgeGroup(group, judge, accepted)
      return { offset, known, acceptedCount: accepted.length - offset }
    })
    const { hash } = this.#options
    const takeBuffer = (bytes: number): Uint8Array => this.#rows.take(bytes)
    const batch = accepted.length === 0 ? undefined : integrate(before, accepted, timestamp, hash, takeBuffer)
    if (batch !== undefined) this.#tip = batch.after
    const placements = drafts.map(({ offset, known, acceptedCount }) => ({
      firstSequenceNumber: before.edge.size + offset + 1,
      acceptedCount,
      known,
      timestamp,
      chainHashes: batch?.chainHashes.subarray(32 * offset) ?? noHashes,
      leafHashes: batch?.leafHashes.subarray(32 * offset) ?? noHashes,
    }))
    return { groups, placements, batch, ids: judge.ownIds }
  }

  /**
   * Hands the batch over at once, so that the committer has it when the one before is committed: to be told of that and
   * to send the next took a busy loop 16 ms, a seventh of the time.
   */
  async #commit({ groups, placements, batch }: Prepared, before: Promise<void>): Promise<void> {
    const sent = batch === undefined ? before.then(() => []) : this.#send(batch)
    sent.catch(() => {})
    const startedAt = performance.now()
    this.#unsettled++
    this.#waitingSince ??= performance.now()
    try {
      await before
      const buffers = await settleWithin(this.#options.commitTimeoutMs, 'commit', sent)
      for (const buffer of buffers) this.#rows.give(Buffer.from(buffer))
    } catch (cause) {
      this.#hasFailed = true
      rejectGroups(groups, new Unavailable('it is not known whether this was written', 1, { cause }))
      if (cause instanceof LogIncident) throw cause
      throw new LogIncident('OUTCOME_UNKNOWN', `commit of tree size ${batch?.after.edge.size}`, { cause })
    } finally {
      this.#unsettled--
      this.#waitingSince = this.#unsettled === 0 ? undefined : performance.now()
      this.#options.pool.recheck()
    }
    if (batch !== undefined) this.#options.onCommitted(batch.after, batch, (performance.now() - startedAt) / 1_000)
    groups.forEach((group, i) => {
      group.resolve(placements[i] as Placement)
    })
  }

  #send(batch: Batch): Promise<readonly ArrayBuffer[]> {
    // Now: the rows are handed over. Should the commit fail, this sequencer ends, and what it remembers with it.
    addIdRows(this.#recentIds, batch.idRows)
    return this.#options.committer.commit(sealedRows(batch, this.#options))
  }

  /**
   * The ids of the batch under way are what the next one is judged by; its submissions are read until then. Those of
   * the batch before are done with: every later batch finds them in the ledger.
   */
  #remember({ groups, ids }: Prepared): void {
    for (const group of this.#underwayGroups) group.release()
    this.#underwayGroups = groups
    this.#underway = ids
  }

  /**
   * Keeps partitions two ahead; asked for again when the last but one is entered. That is there, so nobody waits, but
   * for what was asked for 65,536 entries ago: a guard that compares 155 partitions takes 30 ms, and an administrator's
   * VACUUM of the whole ledger as long as it takes.
   */
  async #preparePartitions(upTo: number): Promise<void> {
    if (upTo <= this.#partitionedTo) return
    await this.#partitioning
    this.#partitionedTo = Math.ceil(Math.max(1, upTo) / partitionEntries) * partitionEntries
    this.#partitioning = ensurePartitions(this.#options.query, this.#options.schema, Math.max(1, upTo))
    // The next batch meets a failure above, not the one that needs the partition.
    this.#partitioning.catch(() => {
      this.#partitionedTo = 0
    })
  }

  /**
   * The ledger's ids from now on: few, of clients whose clocks are ahead. Read after the head that we build on, so that
   * whatever another writer committed meanwhile makes our first commit fail.
   */
  async #readRecentIds(): Promise<RecentIds> {
    const { query, schema, clock } = this.#options
    const { horizonMs, ids } = await readIdsFrom(query, schema, Math.floor(clock() / 1_000))
    const recent = new RecentIds(horizonMs)
    for (const id of ids) recent.add(id, 0)
    return recent
  }

  /** Reads the database's clock, and keeps the writer's connection from being closed as idle. */
  async #heartbeat(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { databaseTime, query, committer, commitTimeoutMs, checkMayWrite } = this.#options
      databaseTime.set(await readClock(query))
      checkMayWrite()
      if (this.#unsettled === 0) await settleWithin(commitTimeoutMs, 'ping', committer.ping())
      await sleep(heartbeatMs, undefined, { signal }).catch(() => {})
    }
  }
}

const noHashes = new Uint8Array(0)

/** Adds what is new to `accepted`, returns what is known. */
function judgeGroup(group: Group, judge: IdJudge, accepted: Submission[]): KnownSubmission[] {
  const known: KnownSubmission[] = []
  group.submissions.forEach((submission, i) => {
    const verdict = judge.judge(submission)
    if (verdict.kind === 'new') accepted.push(submission)
    else known.push({ i, kind: verdict.kind, sequenceNumber: verdict.sequenceNumber })
  })
  return known
}

function rejectGroups(groups: readonly Group[], reason: Error): void {
  for (const group of groups) group.reject(reason)
}
