import { setTimeout as sleep } from 'node:timers/promises'
import { readNewestHead } from '../store/heads.ts'
import type { PublishedCheckpoint } from './cosigned.ts'
import { type FollowedLog, readFollowingCheckpoint, readWitnessedAfter } from './follow-checkpoints.ts'
import { LogIncident, Unavailable } from './incident.ts'
import type { LogKeys } from './log-keys.ts'
import type { Publisher } from './publisher.ts'
import { isSealed } from './seal.ts'
import { readCosigned } from './witnessed-checkpoints.ts'

/** Between two looks: a flood of requests for what is not there costs no more than these. */
const restMs = 10

/** A log that does not stand by has no other server: it knows what is published. */
type SharedLog = FollowedLog & { readonly keys: Pick<LogKeys, 'sealKey'>; readonly standsBy?: boolean }

/**
 * What other servers of the same log have published: looked for in intervals by a server that stands by, and by any as
 * soon as it is asked for more than it has published itself. Clients meet the servers by turns, and a refusal is final.
 */
export class CheckpointFollower {
  readonly #log: SharedLog
  readonly #publisher: Publisher
  readonly #onSeen: (integratedSize: number, checkpoint?: PublishedCheckpoint) => void
  /** Whether what another server publishes is served here. A leader serves nothing but what it signed. */
  #isStandingBy = false
  /** When what is served here was last seen to be the newest. Whoever leads knows that always. */
  #currentAtMs = Number.POSITIVE_INFINITY
  /** The look that has not begun yet: whoever asks now is answered by it. */
  #next: Promise<PublishedCheckpoint> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #restUntilMs = 0

  /** `onSeen` is told how many entries are durable, and of a checkpoint before it is served. */
  constructor(
    log: SharedLog,
    publisher: Publisher,
    onSeen: (integratedSize: number, checkpoint?: PublishedCheckpoint) => void,
  ) {
    this.#log = log
    this.#publisher = publisher
    this.#onSeen = onSeen
  }

  /** Serves what others publish until `waiting` is over; where that resolves, nobody but this server publishes. */
  async standBy<T>(waiting: () => Promise<T>): Promise<T> {
    this.#isStandingBy = true
    this.#currentAtMs = Math.min(this.#currentAtMs, performance.now())
    try {
      const result = await waiting()
      this.#currentAtMs = Number.POSITIVE_INFINITY
      return result
    } finally {
      this.#isStandingBy = false
    }
  }

  /** For so long it is not known whether there is something newer than what is served here. */
  get behindMs(): number {
    return Math.max(0, performance.now() - this.#currentAtMs)
  }

  /**
   * The newest checkpoint of the database, read after this call: one look for all who ask meanwhile. A server that stands
   * by serves it from then on. Throws as `readFollowingCheckpoint`.
   */
  look(): Promise<PublishedCheckpoint> {
    this.#next ??= this.#lookNext()
    return this.#next
  }

  /**
   * The newest checkpoint that is served, which has less than what is `wanted` only where the database has no more
   * either. Rejects with `Unavailable` where it has, and that cannot be served now.
   */
  async upTo(wanted: (checkpoint: PublishedCheckpoint) => boolean): Promise<PublishedCheckpoint> {
    if (this.#log.standsBy !== true || wanted(this.#publisher.published)) return this.#publisher.published
    const newest = await this.#lookForClients()
    return wanted(newest) ? this.#publisher.nextAfter(newest.number - 1) : this.#publisher.published
  }

  async #lookForClients(): Promise<PublishedCheckpoint> {
    try {
      return await this.look()
    } catch (cause) {
      if (!(cause instanceof LogIncident)) throw cause
      throw new Unavailable('what is published now did not pass its check here', 2, { cause })
    }
  }

  async #lookNext(): Promise<PublishedCheckpoint> {
    await this.#last
    await sleep(this.#restUntilMs - performance.now())
    this.#next = undefined
    this.#restUntilMs = performance.now() + restMs
    const looking = this.#look()
    this.#last = looking.catch(() => {})
    return looking
  }

  async #look(): Promise<PublishedCheckpoint> {
    const log = this.#log
    const head = await readNewestHead(log.query, log.schema)
    if (head !== undefined && isSealed(log.keys.sealKey, log.origin, head)) this.#onSeen(head.treeSize)
    const newest = await readFollowingCheckpoint(log, this.#publisher.published)
    if (newest !== undefined && newest.number > this.#publisher.published.number) {
      if (!this.#isStandingBy) return newest
      this.#onSeen(newest.treeSize, newest)
      this.#publisher.accept(newest)
    }
    if (this.#isStandingBy) await this.#lookForCosignatures()
    if (this.#isStandingBy) this.#currentAtMs = performance.now()
    return this.#publisher.published
  }

  /** What is published before it is witnessed is so a moment later, and then maybe not the newest any more. */
  async #lookForCosignatures(): Promise<void> {
    const { witnessing, query, schema } = this.#log
    const { published, witnessed } = this.#publisher
    if (witnessing === undefined || witnessed?.number === published.number) return
    const newest = await readWitnessedAfter(this.#log, witnessed?.number ?? -1, published.number)
    if (newest !== undefined) this.#publisher.noteCosigned(newest, true)
    if (witnessing.isAwaited || newest?.number === published.number) return
    const { checkpoint, isQuorum } = await readCosigned(query, schema, witnessing, published)
    if (checkpoint.cosignatures.length > published.cosignatures.length) {
      this.#publisher.noteCosigned(checkpoint, isQuorum)
    }
  }
}
