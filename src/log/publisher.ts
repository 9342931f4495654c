import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Clock } from './clock.ts'
import { type PublishedCheckpoint, withoutCosignatures } from './cosigned.ts'
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
  /** Told of each checkpoint when it is signed and stored, before anybody who waits. */
  readonly onSigned: (checkpoint: StoredCheckpoint, seconds: number) => void
  /** Whether what was signed is published only when it is witnessed. */
  readonly awaitsWitnesses?: boolean
}

/** What is published, for those who read. */
export type Checkpoints = Pick<Publisher, 'published' | 'witnessed' | 'waitFor' | 'nextAfter' | 'waitForWitnessed'>

type Waiter = {
  readonly isMet: (checkpoint: PublishedCheckpoint) => boolean
  readonly resolve: (checkpoint: PublishedCheckpoint) => void
  readonly reject: (reason: Error) => void
}

/**
 * Signs the newest head in intervals and wakes whoever waits for it. A checkpoint is signed, then published, then
 * witnessed; or, where witnesses are waited for, published because it is witnessed.
 */
export class Publisher {
  readonly #options: PublisherOptions
  #signed: StoredCheckpoint
  #published: PublishedCheckpoint
  #witnessed: PublishedCheckpoint | undefined
  #waiters: Waiter[] = []
  /** Those who wait for the quorum's cosignatures. */
  #witnessWaiters: Waiter[] = []
  #stopped: Error | undefined

  constructor(published: PublishedCheckpoint, options: PublisherOptions) {
    this.#signed = published
    this.#published = published
    this.#options = options
  }

  /** The newest checkpoint that we serve. */
  get published(): PublishedCheckpoint {
    return this.#published
  }

  /** The newest one that was signed; not to be shown to anybody before it is published. */
  get signed(): StoredCheckpoint {
    return this.#signed
  }

  /** The newest one that has the cosignatures of the quorum. */
  get witnessed(): PublishedCheckpoint | undefined {
    return this.#witnessed
  }

  /** Resolves with the first checkpoint of at least `size` entries. */
  waitFor(size: number): Promise<PublishedCheckpoint> {
    return this.#waitUntil(({ treeSize }) => treeSize >= size)
  }

  /** Resolves with the newest checkpoint that has a higher number. */
  nextAfter(after: number): Promise<PublishedCheckpoint> {
    return this.#waitUntil(({ number }) => number > after)
  }

  /** Resolves with the first witnessed checkpoint of at least `size` entries. */
  waitForWitnessed(size: number): Promise<PublishedCheckpoint> {
    const isMet = ({ treeSize }: PublishedCheckpoint): boolean => treeSize >= size
    if (this.#witnessed !== undefined && isMet(this.#witnessed)) return Promise.resolve(this.#witnessed)
    return this.#wait(this.#witnessWaiters, isMet)
  }

  /** Resolves when nobody waits for witnesses any more, and what was signed last is published. */
  async settled(): Promise<void> {
    if (this.#options.awaitsWitnesses === true) await this.nextAfter(this.#signed.number - 1)
    if (this.#witnessWaiters.length > 0) await this.waitForWitnessed(this.#signed.treeSize)
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
    if (checkpoint.note === this.#signed.note && checkpoint.number === this.#signed.number) return
    this.#noteSigned(checkpoint)
    if (this.#options.awaitsWitnesses !== true) this.#show(withoutCosignatures(checkpoint))
    this.#options.onSigned(checkpoint, (performance.now() - startedAt) / 1_000)
  }

  /**
   * Serves a newer checkpoint, whose signatures the caller has checked, and wakes whoever waits for it. Throws ROLLBACK
   * where it is not newer: signer state and database may be set back together, and this process remembers more.
   */
  accept(checkpoint: PublishedCheckpoint): void {
    if (checkpoint.number > this.#signed.number) this.#noteSigned(checkpoint)
    this.#show(checkpoint)
  }

  /** Everything that cosigners said of a checkpoint that was signed here; whoever called has checked it. */
  noteCosigned(checkpoint: PublishedCheckpoint, isQuorum: boolean): void {
    const isNewer = checkpoint.number > this.#published.number
    if (isQuorum && isNewer && this.#options.awaitsWitnesses === true) this.#show(checkpoint)
    else if (checkpoint.number === this.#published.number) this.#published = checkpoint
    if (isQuorum && checkpoint.number >= (this.#witnessed?.number ?? 0)) {
      this.#witnessed = checkpoint
      this.#witnessWaiters = wake(this.#witnessWaiters, checkpoint)
    }
  }

  #noteSigned(checkpoint: StoredCheckpoint): void {
    checkNewer(checkpoint, this.#signed)
    this.#signed = checkpoint
  }

  #show(checkpoint: PublishedCheckpoint): void {
    checkNewer(checkpoint, this.#published)
    this.#published = checkpoint
    this.#waiters = wake(this.#waiters, checkpoint)
  }

  /** Who waits from now on waits for what another server publishes. */
  resume(): void {
    this.#stopped = undefined
  }

  /** Tells everybody who waits that nothing more will be published for now. */
  stop(cause: unknown): void {
    this.#stopped = new Unavailable('the entry is logged, but its checkpoint could not be published yet', 1, { cause })
    for (const waiter of [...this.#waiters, ...this.#witnessWaiters]) waiter.reject(this.#stopped)
    this.#waiters = []
    this.#witnessWaiters = []
  }

  #waitUntil(isMet: Waiter['isMet']): Promise<PublishedCheckpoint> {
    return isMet(this.#published) ? Promise.resolve(this.#published) : this.#wait(this.#waiters, isMet)
  }

  #wait(waiters: Waiter[], isMet: Waiter['isMet']): Promise<PublishedCheckpoint> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    return new Promise((resolve, reject) => {
      waiters.push({ isMet, resolve, reject })
    })
  }
}

/** Those who wait on. */
function wake(waiters: readonly Waiter[], checkpoint: PublishedCheckpoint): Waiter[] {
  const [met, rest]: [Waiter[], Waiter[]] = [[], []]
  for (const waiter of waiters) (waiter.isMet(checkpoint) ? met : rest).push(waiter)
  for (const { resolve } of met) resolve(checkpoint)
  return rest
}

function checkNewer(checkpoint: StoredCheckpoint, known: StoredCheckpoint): void {
  if (checkpoint.number > known.number && checkpoint.treeSize >= known.treeSize) return
  const found = `checkpoint ${checkpoint.number} of ${checkpoint.treeSize} entries`
  const detail = `the signer remembers ${found}, ${known.number} of ${known.treeSize} was published`
  throw new LogIncident('ROLLBACK', detail)
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error
}
