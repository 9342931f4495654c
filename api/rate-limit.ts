import type { Principal } from '../src/auth/principal.ts'
import { Problem } from './problem.ts'

/** Principals whose use is counted at the same time: as many as there are tokens that hold. */
const countedMax = 10_000

/**
 * Holds principals to their rates: a token bucket for requests and one for records, each with room for a second's worth.
 * A batch may take more than is left and leaves a debt: refused would be the one that is larger than the bucket, for
 * ever, and after all of it was read. Counts what this server is asked; several servers allow each as much.
 *
 * No library does this: rate-limiter-flexible counts in fixed windows, refuses what is larger than one, and answers in
 * promises.
 */
export class RateLimiter {
  readonly #requests: Buckets
  readonly #records: Buckets

  /** `nowMs` never goes back. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#requests = new Buckets(nowMs)
    this.#records = new Buckets(nowMs)
  }

  /** Throws `rate-limited` where the principal has used up its requests. */
  countRequest({ rates }: Principal): void {
    if (rates === undefined || rates.requestsPerSecond === 0) return
    const waitSeconds = this.#requests.take(rates.tokenId, rates.requestsPerSecond, 1)
    if (waitSeconds > 0) throw limited(`${rates.requestsPerSecond} requests`, waitSeconds)
  }

  /** Throws `rate-limited` where the principal has used up its records; `count` 0 asks just that. */
  countRecords({ rates }: Principal, count: number): void {
    if (rates === undefined || rates.entriesPerSecond === 0) return
    const waitSeconds = this.#records.take(rates.tokenId, rates.entriesPerSecond, count)
    if (waitSeconds > 0) throw limited(`${rates.entriesPerSecond} entries`, waitSeconds)
  }
}

type Bucket = { level: number; atMs: number }

class Buckets {
  readonly #buckets = new Map<string, Bucket>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Takes `count`, where there is at least 1; else takes nothing and says in how many seconds there will be. */
  take(id: string, perSecond: number, count: number): number {
    const now = this.#nowMs()
    const bucket = this.#buckets.get(id) ?? this.#add(id, { level: perSecond, atMs: now })
    bucket.level = Math.min(perSecond, bucket.level + ((now - bucket.atMs) / 1_000) * perSecond)
    bucket.atMs = now
    if (bucket.level < 1) return (1 - bucket.level) / perSecond
    bucket.level -= count
    return 0
  }

  #add(id: string, bucket: Bucket): Bucket {
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size >= countedMax && oldest !== undefined) this.#buckets.delete(oldest)
    this.#buckets.set(id, bucket)
    return bucket
  }
}

function limited(rate: string, waitSeconds: number): Problem {
  return new Problem('rate-limited', `this token may use ${rate} a second`, { retryAfterSeconds: waitSeconds })
}
