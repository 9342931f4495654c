import { setTimeout as sleep } from 'node:timers/promises'
import { settleWithin } from '../ops/time-out.ts'
import type { Committer } from '../store/committer.ts'
import type { LogLock } from '../store/log-lock.ts'
import { openPool, type Pool } from '../store/session.ts'
import { CheckpointFollower } from './checkpoint-follower.ts'
import { checkClocks, DatabaseTime } from './clock.ts'
import type { PublishedCheckpoint } from './cosigned.ts'
import { Cosigning, readPublished } from './cosigning.ts'
import { Delays } from './delays.ts'
import { LogIncident, NotLeader, Unavailable } from './incident.ts'
import type { LogState } from './integrate.ts'
import { Leadership, type LeadershipOptions } from './leadership.ts'
import { LeafScan } from './leaf-scan.ts'
import { defaultTiming, type LogHealth, type LogOptions, type LogPlace, type LogTiming } from './log-options.ts'
import { readLogState } from './log-state.ts'
import { openLogSigner } from './open-log-signer.ts'
import { PendingPool, type Placement } from './pool.ts'
import { publicProblem, readProblem } from './problem-kind.ts'
import { type Checkpoints, Publisher } from './publisher.ts'
import type { EntryWithLeaf } from './receipt.ts'
import { ReceiptWriter } from './receipt-writer.ts'
import { Sequencer } from './sequencer.ts'
import { ServedTiles } from './served-tiles.ts'
import type { LogSigner } from './signing-thread.ts'
import { untilLost, waitForLock } from './standby.ts'
import type { Submission } from './submission.ts'
import { TileCache } from './tile-cache.ts'
import { filesBefore, openTilesBelow } from './tiles-below.ts'
import { TreeProofs } from './tree-proofs.ts'
import { Turns } from './turns.ts'

const statementTimeoutMs = 30_000
const prepareEarlyFrom = 1_024

/**
 * One log on one database: takes submissions, sequences and publishes them. When the database goes away, or is not
 * what the signer remembers, it stops, and is opened from the truth again. Of several servers one leads; the others
 * stand by, publish what that one signs, and take over when its lock is free.
 */
export class Log {
  readonly #options: LogOptions
  readonly #pool: PendingPool
  readonly #databaseTime = new DatabaseTime()
  readonly #publisher: Publisher
  readonly tiles: TileCache
  readonly #receipts: ReceiptWriter
  readonly proofs: TreeProofs
  /** What other servers have published. */
  readonly follower: CheckpointFollower
  readonly served: ServedTiles
  readonly leaves: LeafScan
  readonly #timing: LogTiming
  readonly #delays: Delays
  readonly #turns: Turns
  readonly #leadership: Leadership
  readonly #cosigning: Cosigning | undefined
  /** Of the checkpoint at which this server stopped last: a later one shows that another leads well. */
  #stoppedAt = -1
  readonly #connections: { readonly writer: Pool; readonly signer: Pool }
  /** The auditors' login, for everything that is read. */
  readonly reader: Pool
  #integratedSize: number
  #sequencer: Sequencer | undefined
  #problem: Error | undefined = new Unavailable('the log is starting')

  private constructor(options: LogOptions, published: PublishedCheckpoint, reader: Pool, lock: LogLock | undefined) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#delays = new Delays(this.#timing)
    const tell = options.onTurn ?? (() => {})
    this.#turns = new Turns(tell, options.standsBy === true, () => this.#integratedSize)
    this.#leadership = new Leadership(this.#leadershipOptions(), lock)
    this.#pool = new PendingPool(options.poolLimits)
    this.#connections = {
      writer: openPool(options.writer, 3, statementTimeoutMs),
      signer: openPool(options.signer, 2, statementTimeoutMs),
    }
    this.reader = reader
    const stored = openTilesBelow(this.reader, options.schema, options.hash)
    this.tiles = new TileCache(filesBefore(options.tileFiles, stored), options.hash)
    this.#receipts = new ReceiptWriter(this.tiles, options.hash)
    this.proofs = new TreeProofs(this.tiles, options.hash)
    this.leaves = new LeafScan(this.tiles)
    this.served = new ServedTiles(this.tiles, this.proofs, options.hash)
    this.#integratedSize = published.treeSize
    this.#publisher = new Publisher(published, {
      intervalMs: options.checkpointIntervalMs,
      resignAfterMs: options.resignIntervalMs,
      clock: () => this.#signingTime(),
      flushed: (maxMs) => this.#pool.flushed(maxMs),
      onSigned: (checkpoint, seconds) => {
        options.onMeasured?.({ kind: 'publish', seconds })
        this.#delays.noteSigned(checkpoint.treeSize, this.#integratedSize)
        this.#cosigning?.offer(checkpoint)
      },
      awaitsWitnesses: options.witnessing?.isAwaited === true,
    })
    const parts = { ...options, publisher: this.#publisher, proofs: this.proofs, signer: this.#connections.signer }
    this.#cosigning = options.witnessing && new Cosigning(options.witnessing, parts)
    const followed = { ...options, tiles: this.tiles, query: this.reader.query }
    this.follower = new CheckpointFollower(followed, this.#publisher, (size, checkpoint) => {
      this.#integratedSize = Math.max(this.#integratedSize, size)
      if (checkpoint !== undefined) this.#delays.noteSigned(checkpoint.treeSize, checkpoint.treeSize)
    })
  }

  /**
   * Opens a log that was created before; nothing runs yet. Throws ROLLBACK where the signer remembers nothing, LOCKED
   * where another process works on the log and this one does not stand by.
   */
  static async open(options: LogOptions): Promise<Log> {
    const lockWaitMs = options.timing?.lockWaitMs ?? defaultTiming.lockWaitMs
    const lock = options.standsBy === true ? undefined : await waitForLock(options.writer, options.schema, lockWaitMs)
    const reader = openPool(options.reader, 8, statementTimeoutMs, { keep: 2 })
    try {
      const last = await options.cell.read()
      if (last === undefined) throw new LogIncident('ROLLBACK', 'the signer remembers nothing')
      return new Log(options, await readPublished(options, reader.query, last), reader, lock)
    } catch (error) {
      await reader.close()
      await lock?.release()
      throw error
    }
  }

  get published(): PublishedCheckpoint {
    return this.#publisher.published
  }

  get checkpoints(): Checkpoints {
    return this.#publisher
  }

  /** Where it stands, for who records an incident. */
  get place(): LogPlace {
    const { treeSize: publishedSize, root: publishedRoot } = this.published
    return { publishedSize, publishedRoot, integratedSize: this.#integratedSize }
  }

  get health(): LogHealth {
    const problem =
      this.#problem === undefined
        ? this.#delays.problem(this.#sequencer?.commitWaitMs ?? 0)
        : publicProblem(this.#problem)
    return {
      isReady: problem === undefined,
      isLeader: this.#sequencer !== undefined,
      problem: problem?.detail,
      code: problem?.code,
      incident: this.#problem instanceof LogIncident ? this.#problem.code : undefined,
      readProblem: readProblem(this.#problem, this.follower.behindMs),
      pendingEntries: this.#pool.entries,
      integratedSize: this.#integratedSize,
      publishedSize: this.published.treeSize,
    }
  }

  /**
   * Resolves when the entries are durable; rejects with `Unavailable` otherwise. `release` is called when the log reads
   * the submissions no more, which is later.
   */
  submit(submissions: readonly Submission[], release?: () => void): Promise<Placement> {
    if (this.#problem !== undefined) {
      if (this.#problem instanceof NotLeader) return Promise.reject(this.#problem)
      return Promise.reject(new Unavailable(`the log takes no entries now: ${publicProblem(this.#problem).detail}`))
    }
    return this.#pool.submit(submissions, release)
  }

  /** Throws NotLeader where another server takes submissions: before a body is read, and its bad records are kept. */
  checkMaySubmit(): void {
    if (this.#problem instanceof NotLeader) throw this.#problem
  }

  /** Resolves with the first checkpoint of at least `size` entries. */
  waitForCheckpoint(size: number): Promise<PublishedCheckpoint> {
    return this.#publisher.waitFor(size)
  }

  /** The receipt of an entry that the checkpoint covers, as JSON in UTF-8. */
  receiptOf(entry: EntryWithLeaf, checkpoint: PublishedCheckpoint): Promise<Uint8Array<ArrayBuffer>> {
    return this.#receipts.write(entry, checkpoint)
  }

  /** Microseconds since 1970 by the host's clock. */
  now(): number {
    return this.#options.clock()
  }

  /**
   * Sequences and publishes until `signal` aborts; then takes nothing more, and resolves when everything that was
   * accepted is durable and under a checkpoint.
   */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#pool.close(), { once: true })
    let isReopened = false
    while (!signal.aborted) {
      try {
        if (isReopened) await this.#options.beforeReopen?.(signal)
        const lock = await this.#takeLock(signal)
        if (lock !== undefined) await this.#runOnce(lock, signal)
      } catch (error) {
        isReopened = true
        this.#stopFor(error)
        // What keeps this server from leading may not keep another: its disk, its clock, its way to the cell.
        if (this.#options.standsBy === true) await this.#leadership.release()
        await sleep(this.#timing.reopenPauseMs, undefined, { signal }).catch(() => {})
      }
    }
    const stopped = new Unavailable('the log has stopped', 5)
    this.#problem = stopped
    this.#pool.rejectAll(stopped)
    this.#publisher.stop(stopped)
    // Now: another server need not wait until the last answer has left.
    await this.#leadership.release()
  }

  async close(): Promise<void> {
    const { writer, signer } = this.#connections
    await Promise.all([writer.close(), signer.close(), this.reader.close(), this.#leadership.release()])
  }

  async #runOnce(lock: LogLock, signal: AbortSignal): Promise<void> {
    const { commitTimeoutMs } = this.#timing
    // Both at once: whoever takes over is waited for.
    const signing = settleWithin(commitTimeoutMs, 'open signer', openLogSigner(this.#options, this.#connections.signer))
    const committing = settleWithin(commitTimeoutMs, 'open writer', this.#options.openCommitter())
    try {
      const [signer, committer] = await Promise.all([signing, committing])
      const sequencer = new Sequencer(this.#sequencerOptions(committer), await this.#readState(signer))
      const working = this.#lead(sequencer, signer, lock)
      await (this.#cosigning?.during(working) ?? working)
      // All is answered: the next leader need not wait until connections and threads are closed.
      await this.#leadership.release()
    } finally {
      this.#sequencer = undefined
      const closing = Promise.allSettled([signing, committing].map(async (opening) => (await opening).close()))
      await settleWithin(commitTimeoutMs, 'close', closing).catch(() => {})
    }
    if (!signal.aborted) throw new Error('the sequencer ended although nobody asked it to')
  }

  async #lead(sequencer: Sequencer, signer: LogSigner, lock: LogLock): Promise<void> {
    await this.#cosigning?.begin(signer.last)
    await this.#publisher.publish(signer)
    this.#sequencer = sequencer
    this.#problem = undefined
    this.#turns.noteWork()
    await this.#work(sequencer, signer, lock)
    await this.#publisher.publish(signer)
  }

  /** The sequencer ends by itself when the pool is closed and drained; the publisher only when it is told. */
  async #work(sequencer: Sequencer, signer: LogSigner, lock: LogLock): Promise<void> {
    const stop = new AbortController()
    const sequencing = sequencer.run(stop.signal)
    const publishing = this.#publisher.run(signer, stop.signal)
    try {
      await Promise.race([sequencing, publishing, untilLost(lock, stop.signal)])
    } catch (error) {
      // Those who wait are told now: what still runs may take until its time-outs.
      this.#refuse(error)
      throw error
    } finally {
      stop.abort()
      await Promise.allSettled([sequencing, publishing])
    }
    await publishing
  }

  #takeLock(signal: AbortSignal): Promise<LogLock | undefined> {
    const take = (): Promise<LogLock | undefined> => this.#leadership.take(signal)
    return this.#options.standsBy === true ? this.follower.standBy(take) : take()
  }

  #leadershipOptions(): LeadershipOptions {
    const { standsBy = false, writer, schema } = this.#options
    return {
      ...{ standsBy, writer, schema, lockWaitMs: this.#timing.lockWaitMs, standbyMs: this.#timing.standbyMs },
      follow: () => this.#follow(),
      onStandby: () => {
        this.#turns.noteStandby()
        this.#publisher.resume()
        this.#options.prepareLeading?.()
      },
      onTaken: (incident) => this.#options.onIncident(incident, this.place),
    }
  }

  /** Serves the checkpoint that another server has published. An incident of ours stands until there is one. */
  async #follow(): Promise<void> {
    await this.follower.look()
    const isIncident = this.#problem instanceof LogIncident && this.#problem.code !== 'LOCKED'
    if (!isIncident || this.published.number > this.#stoppedAt) this.#problem = new NotLeader()
  }

  async #readState(signer: LogSigner): Promise<LogState> {
    const { writer, signer: tiles } = this.#connections
    const state = await readLogState(this.#options, writer.query, tiles.query, signer.last, this.#databaseTime)
    this.tiles.add(state.edge, [])
    this.#noteIntegrated(state.edge.size)
    return state
  }

  #sequencerOptions(committer: Committer): ConstructorParameters<typeof Sequencer>[0] {
    const { origin, keys, schema, hash, clock, batchLimits } = this.#options
    return {
      ...{ origin, sealKey: keys.sealKey, schema, hash, clock, batchLimits, prepareEarlyFrom, committer },
      databaseTime: this.#databaseTime,
      pool: this.#pool,
      query: this.#connections.writer.query,
      commitTimeoutMs: this.#timing.commitTimeoutMs,
      checkMayWrite: () => this.#delays.checkMayWrite(),
      onCommitted: (state, batch, seconds) => {
        this.#delays.noteCommitted()
        const entries = batch.after.edge.size - batch.before.edge.size
        this.#options.onMeasured?.({ kind: 'commit', entries, seconds })
        this.tiles.add(state.edge, batch.fullTiles)
        this.#noteIntegrated(state.edge.size)
      },
    }
  }

  #noteIntegrated(size: number): void {
    this.#integratedSize = size
    this.#delays.noteIntegrated(size, this.#publisher.signed.treeSize)
  }

  #signingTime(): number {
    const now = this.#options.clock()
    checkClocks(now, this.#databaseTime.now())
    return now
  }

  #stopFor(error: unknown): void {
    this.#refuse(error)
    this.#stoppedAt = this.published.number
    this.#turns.noteStop()
    this.#options.onIncident(error, this.place)
  }

  #refuse(error: unknown): void {
    this.#problem = error instanceof Error ? error : new Error(String(error))
    this.#delays.noteFailed(error)
    this.#pool.rejectAll(new Unavailable('the log had to stop before this was written', 1, { cause: error }))
    this.#publisher.stop(error)
  }
}
