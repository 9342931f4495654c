import { setTimeout as sleep } from 'node:timers/promises'
import { settleWithin } from '../ops/time-out.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Committer } from '../store/committer.ts'
import { type LogLock, tryLogLock } from '../store/log-lock.ts'
import { openPool, type Pool } from '../store/session.ts'
import { openTileStore } from '../store/tile-store.ts'
import { checkClocks, DatabaseTime } from './clock.ts'
import { LogIncident, Unavailable } from './incident.ts'
import type { LogState } from './integrate.ts'
import { defaultTiming, type LogHealth, type LogOptions, type LogTiming } from './log-options.ts'
import { readLogState } from './log-state.ts'
import { PendingPool, type Placement } from './pool.ts'
import { isOutOfRoom, type PublicProblem, publicProblem } from './problem-kind.ts'
import { Publisher } from './publisher.ts'
import type { EntryWithLeaf } from './receipt.ts'
import { ReceiptWriter } from './receipt-writer.ts'
import { Sequencer } from './sequencer.ts'
import { type LogSigner, openSignerHere } from './signing-thread.ts'
import type { Submission } from './submission.ts'
import { TileCache } from './tile-cache.ts'

const statementTimeoutMs = 30_000
const lockRetryMs = 250
const prepareEarlyFrom = 1_024

/**
 * One log on one database: takes submissions, sequences and publishes them. When the database goes away, or is not
 * what the signer remembers, it stops, and is opened from the truth again.
 */
export class Log {
  readonly #options: LogOptions
  readonly #pool: PendingPool
  readonly #databaseTime = new DatabaseTime()
  readonly #publisher: Publisher
  readonly #tiles: TileCache
  readonly #receipts: ReceiptWriter
  readonly #timing: LogTiming
  #lock: LogLock
  readonly #connections: { readonly writer: Pool; readonly signer: Pool }
  /** The auditors' login, for everything that is read. */
  readonly reader: Pool
  #integratedSize: number
  #unsignedSince: number | undefined
  /** When a disk was full, where nothing was committed since. */
  #outOfRoomAt: number | undefined
  #sequencer: Sequencer | undefined
  #problem: Error | undefined = new Unavailable('the log is starting')

  private constructor(options: LogOptions, published: StoredCheckpoint, lock: LogLock) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#lock = lock
    this.#pool = new PendingPool(options.poolLimits)
    this.#connections = {
      writer: openPool(options.writer, 3, statementTimeoutMs),
      signer: openPool(options.signer, 2, statementTimeoutMs),
    }
    this.reader = openPool(options.reader, 8, statementTimeoutMs)
    this.#tiles = new TileCache(openTileStore(this.reader.query, options.schema, options.hash), options.hash)
    this.#receipts = new ReceiptWriter(this.#tiles, options.hash)
    this.#integratedSize = published.treeSize
    this.#publisher = new Publisher(published, {
      intervalMs: options.checkpointIntervalMs,
      resignAfterMs: options.resignIntervalMs,
      clock: () => this.#signingTime(),
      flushed: (maxMs) => this.#pool.flushed(maxMs),
      onPublished: (checkpoint, seconds) => {
        options.onMeasured?.({ kind: 'publish', seconds })
        this.#notePublished(checkpoint)
      },
    })
  }

  /**
   * Opens a log that was created before; nothing runs yet. Throws ROLLBACK where the signer remembers nothing, LOCKED
   * where another process works on the log.
   */
  static async open(options: LogOptions): Promise<Log> {
    const lock = await waitForLock(options, options.timing?.lockWaitMs ?? defaultTiming.lockWaitMs)
    try {
      const last = await options.cell.read()
      if (last === undefined) throw new LogIncident('ROLLBACK', 'the signer remembers nothing')
      return new Log(options, last, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  get published(): StoredCheckpoint {
    return this.#publisher.published
  }

  get tiles(): TileCache {
    return this.#tiles
  }

  get health(): LogHealth {
    const problem = this.#problem === undefined ? this.#delay() : publicProblem(this.#problem)
    return {
      isReady: problem === undefined,
      problem: problem?.detail,
      code: problem?.code,
      incident: this.#problem instanceof LogIncident ? this.#problem.code : undefined,
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
      return Promise.reject(new Unavailable(`the log takes no entries now: ${publicProblem(this.#problem).detail}`))
    }
    return this.#pool.submit(submissions, release)
  }

  /** Resolves with the first checkpoint of at least `size` entries. */
  waitForCheckpoint(size: number): Promise<StoredCheckpoint> {
    return this.#publisher.waitFor(size)
  }

  /** Resolves with the newest checkpoint whose number is above `number`. */
  nextCheckpoint(number: number): Promise<StoredCheckpoint> {
    return this.#publisher.nextAfter(number)
  }

  /** The receipt of an entry that the checkpoint covers, as JSON in UTF-8. */
  receiptOf(entry: EntryWithLeaf, checkpoint: StoredCheckpoint): Promise<Uint8Array<ArrayBuffer>> {
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
        await this.#runOnce(signal)
      } catch (error) {
        isReopened = true
        this.#stopFor(error)
        await sleep(this.#timing.reopenPauseMs, undefined, { signal }).catch(() => {})
      }
    }
    const stopped = new Unavailable('the log has stopped', 5)
    this.#problem = stopped
    this.#pool.rejectAll(stopped)
    this.#publisher.stop(stopped)
  }

  async close(): Promise<void> {
    const { writer, signer } = this.#connections
    await Promise.all([writer.close(), signer.close(), this.reader.close()])
    await this.#lock.release()
  }

  async #runOnce(signal: AbortSignal): Promise<void> {
    await this.#keepLock()
    const { commitTimeoutMs } = this.#timing
    const signer = await settleWithin(commitTimeoutMs, 'open signer', this.#openSigner())
    let committer: Committer | undefined
    try {
      committer = await settleWithin(commitTimeoutMs, 'open writer', this.#options.openCommitter())
      const sequencer = new Sequencer(this.#sequencerOptions(committer), await this.#readState(signer))
      await this.#publisher.publish(signer)
      this.#sequencer = sequencer
      this.#problem = undefined
      await this.#work(sequencer, signer)
      await this.#publisher.publish(signer)
    } finally {
      this.#sequencer = undefined
      const closing = Promise.allSettled([signer.close(), committer?.close()])
      await settleWithin(commitTimeoutMs, 'close', closing).catch(() => {})
    }
    if (!signal.aborted) throw new Error('the sequencer ended although nobody asked it to')
  }

  /** The sequencer ends by itself when the pool is closed and drained; the publisher only when it is told. */
  async #work(sequencer: Sequencer, signer: LogSigner): Promise<void> {
    const stop = new AbortController()
    const sequencing = sequencer.run(stop.signal)
    const publishing = this.#publisher.run(signer, stop.signal)
    try {
      await Promise.race([sequencing, publishing, this.#untilLockLost(stop.signal)])
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

  async #keepLock(): Promise<void> {
    if (!this.#lock.lost.aborted) return
    await this.#lock.release()
    this.#lock = await waitForLock(this.#options, 0)
  }

  /** Rejects when the lock is lost; never resolves. */
  #untilLockLost(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const { lost } = this.#lock
      const fail = (): void => reject(new LogIncident('LOCKED', 'the lock of the log was lost'))
      if (lost.aborted) fail()
      lost.addEventListener('abort', fail, { once: true, signal })
    })
  }

  #openSigner(): Promise<LogSigner> {
    const { origin, keys, cell, schema, hash, openSigner } = this.#options
    if (openSigner !== undefined) return openSigner()
    const query = this.#connections.signer.query
    return openSignerHere({ origin, sealKey: keys.sealKey, keys: keys.signing, cell, query, schema, hash })
  }

  async #readState(signer: LogSigner): Promise<LogState> {
    const { writer, signer: tiles } = this.#connections
    const state = await readLogState(this.#options, writer.query, tiles.query, signer.last, this.#databaseTime)
    this.#tiles.add(state.edge, [])
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
      checkMayWrite: () => this.#checkMayWrite(),
      onCommitted: (state, batch, seconds) => {
        this.#outOfRoomAt = undefined
        const entries = batch.after.edge.size - batch.before.edge.size
        this.#options.onMeasured?.({ kind: 'commit', entries, seconds })
        this.#tiles.add(state.edge, batch.fullTiles)
        this.#noteIntegrated(state.edge.size)
      },
    }
  }

  #noteIntegrated(size: number): void {
    this.#integratedSize = size
    if (size > this.published.treeSize) this.#unsignedSince ??= performance.now()
  }

  #notePublished(checkpoint: StoredCheckpoint): void {
    this.#unsignedSince = checkpoint.treeSize < this.#integratedSize ? performance.now() : undefined
  }

  /** What keeps those who wait from their answers, although nothing has failed yet. */
  #delay(): PublicProblem | undefined {
    const { commitSlowMs, outOfRoomMs, unsignedMaxMs } = this.#timing
    if ((this.#sequencer?.commitWaitMs ?? 0) > commitSlowMs) {
      return { code: 'DATABASE', detail: `the database has kept a commit waiting for more than ${commitSlowMs} ms` }
    }
    if (this.#outOfRoomAt !== undefined && performance.now() - this.#outOfRoomAt < outOfRoomMs) {
      return { code: 'DATABASE', detail: 'a disk was full when the log last wrote' }
    }
    if (!this.#isUnsignedTooLong()) return undefined
    return { code: 'UNAVAILABLE', detail: `the head has not been signed for ${unsignedMaxMs} ms` }
  }

  #isUnsignedTooLong(): boolean {
    return this.#unsignedSince !== undefined && performance.now() - this.#unsignedSince > this.#timing.unsignedMaxMs
  }

  #checkMayWrite(): void {
    if (!this.#isUnsignedTooLong()) return
    throw new Unavailable(`the head has not been signed for ${this.#timing.unsignedMaxMs} ms`)
  }

  #signingTime(): number {
    const now = this.#options.clock()
    checkClocks(now, this.#databaseTime.now())
    return now
  }

  #stopFor(error: unknown): void {
    this.#refuse(error)
    const { treeSize: publishedSize, root: publishedRoot } = this.published
    this.#options.onIncident(error, { publishedSize, publishedRoot, integratedSize: this.#integratedSize })
  }

  #refuse(error: unknown): void {
    this.#problem = error instanceof Error ? error : new Error(String(error))
    if (isOutOfRoom(error)) this.#outOfRoomAt = performance.now()
    this.#pool.rejectAll(new Unavailable('the log had to stop before this was written', 1, { cause: error }))
    this.#publisher.stop(error)
  }
}

async function waitForLock({ writer, schema }: LogOptions, waitMs: number): Promise<LogLock> {
  for (const startedAt = performance.now(); ; ) {
    const lock = await tryLogLock(writer, schema)
    if (lock !== undefined) return lock
    if (performance.now() - startedAt >= waitMs) {
      throw new LogIncident('LOCKED', 'another process works on this log: one server at a time')
    }
    await sleep(lockRetryMs)
  }
}
