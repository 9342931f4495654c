import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Clock } from './clock.ts'
import { LogIncident, Unavailable } from './incident.ts'
import type { Signer } from './signer.ts'

/** What signs: here, or in another thread. */
type Signs = Pick<Signer, 'last' | 'sign'>

export type PublisherOptions = {
  readonly intervalMs: number
  /** An idle log signs its head again after this time. */
  readonly resignAfterMs: number
  /** Throws where the host's clock is not to be signed by. */
  readonly clock: Clock
  /** Resolves when what was accepted before is integrated, or after a time. */
  readonly flushed: (maxMs: number) => Promise<void>
  /** Told of each checkpoint, before anybody who waits. */
  readonly onPublished: (checkpoint: StoredCheckpoint, seconds: number) => void
}

type Waiter = {
  readonly size: number
  readonly resolve: (checkpoint: StoredCheckpoint) => void
  readonly reject: (reason: Error) => void
}

/** Signs the newest head in intervals and wakes whoever waits for it. */
export class Publisher {
  readonly #options: PublisherOptions
  #published: StoredCheckpoint
  #waiters: Waiter[] = []
  /** Those who wait for whatever comes next. */
  #watchers: Omit<Waiter, 'size'>[] = []
  #stopped: Error | undefined

  constructor(published: StoredCheckpoint, options: PublisherOptions) {
    this.#published = published
    this.#options = options
  }

  /** The newest checkpoint that we serve. */
  get published(): StoredCheckpoint {
    return this.#published
  }

  /** Resolves with the first checkpoint of at least `size` entries. */
  waitFor(size: number): Promise<StoredCheckpoint> {
    if (this.#published.treeSize >= size) return Promise.resolve(this.#published)
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    return new Promise((resolve, reject) => {
      this.#waiters.push({ size, resolve, reject })
    })
  }

  /** Resolves with the newest checkpoint that has a higher number. */
  nextAfter(number: number): Promise<StoredCheckpoint> {
    if (this.#published.number > number) return Promise.resolve(this.#published)
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    return new Promise((resolve, reject) => {
      this.#watchers.push({ resolve, reject })
    })
  }

  /** Publishes until `signal` aborts. Rejects with what `signer` throws. */
  async run(signer: Signs, signal: AbortSignal): Promise<void> {
    this.resume()
    while (!signal.aborted) {
      const startedAt = performance.now()
      // A head signed in the middle of a burst would leave most of it to wait for the next.
      await this.#options.flushed(this.#options.intervalMs / 2)
      await this.publish(signer)
      const restMs = this.#options.intervalMs - (performance.now() - startedAt)
      await sleep(Math.max(0, restMs), undefined, { signal }).catch(ignoreAbort)
    }
  }

  /**
   * Signs and publishes once, if there is something to sign. Publishes too what the signer found in its memory when it
   * was opened: a checkpoint that was signed and stored, but whose answer was lost.
   */
  async publish(signer: Signs): Promise<void> {
    const nowMs = Math.floor(this.#options.clock() / 1_000)
    const startedAt = performance.now()
    const checkpoint = (await signer.sign(nowMs, this.#options.resignAfterMs)) ?? signer.last
    if (checkpoint.note === this.#published.note && checkpoint.number === this.#published.number) return
    this.accept(checkpoint)
    this.#options.onPublished(checkpoint, (performance.now() - startedAt) / 1_000)
  }

  /**
   * Serves a newer checkpoint, whose signatures the caller has checked, and wakes whoever waits for it. Throws ROLLBACK
   * where it is not newer: signer state and database may be set back together, and this process remembers more.
   */
  accept(checkpoint: StoredCheckpoint): void {
    const { number, treeSize } = this.#published
    if (checkpoint.number <= number || checkpoint.treeSize < treeSize) {
      const found = `checkpoint ${checkpoint.number} of ${checkpoint.treeSize} entries`
      const detail = `the signer remembers ${found}, ${number} of ${treeSize} was published`
      throw new LogIncident('ROLLBACK', detail)
    }
    this.#published = checkpoint
    const ready = this.#waiters.filter((waiter) => waiter.size <= checkpoint.treeSize)
    this.#waiters = this.#waiters.filter((waiter) => waiter.size > checkpoint.treeSize)
    for (const waiter of ready) waiter.resolve(checkpoint)
    for (const watcher of this.#watchers.splice(0)) watcher.resolve(checkpoint)
  }

  /** Who waits from now on waits for what another server publishes. */
  resume(): void {
    this.#stopped = undefined
  }

  /** Tells everybody who waits that nothing more will be published for now. */
  stop(cause: unknown): void {
    this.#stopped = new Unavailable('the entry is logged, but its checkpoint could not be published yet', 1, { cause })
    for (const waiter of [...this.#waiters, ...this.#watchers]) waiter.reject(this.#stopped)
    this.#waiters = []
    this.#watchers = []
  }
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error
}
