import assert from 'node:assert/strict'
import { Unavailable } from './incident.ts'
import type { Submission } from './submission.ts'

/** Where the submissions of one request went. Accepted ones have consecutive sequence numbers, in request order. */
export type Placement = {
  readonly firstSequenceNumber: number
  readonly acceptedCount: number
  /** Submissions that made no entry, by their place in the request. */
  readonly known: readonly KnownSubmission[]
  /** Microseconds since 1970, of all accepted entries. */
  readonly timestamp: number
  /** Accepted entry i: previous hash at 32 * i of `chainHashes`, current hash 32 bytes on; leaf hash at 32 * i. */
  readonly chainHashes: Uint8Array
  readonly leafHashes: Uint8Array
}

/** A submission whose id was known: the same content is a duplicate, other content a conflict. */
export type KnownSubmission = {
  readonly i: number
  readonly kind: 'duplicate' | 'conflict'
  readonly sequenceNumber: number
}

/** The submissions of one request on their way. Settled exactly once, by the sequencer. */
export type Group = {
  readonly submissions: readonly Submission[]
  readonly bytes: number
  readonly resolve: (placement: Placement) => void
  readonly reject: (reason: Error) => void
  /** Called when nobody reads the submissions any more; not called for those that were rejected. */
  readonly release: () => void
}

export type PoolLimits = { readonly entriesMax: number; readonly bytesMax: number }

type Barrier = { readonly target: number; readonly reached: () => void }

/** What waits for the sequencer: bounded, first come first served, a request is taken whole. */
export class PendingPool {
  readonly #limits: PoolLimits
  #groups: Group[] = []
  #entries = 0
  #bytes = 0
  /** Requests that ever came, and those that have their answer: in the same order. */
  #submitted = 0
  #settled = 0
  #barriers: Barrier[] = []
  #closed = false
  #wake: () => void = () => {}

  constructor(limits: PoolLimits) {
    this.#limits = limits
  }

  get entries(): number {
    return this.#entries
  }

  /** Resolves when the entries are durable. Rejects with `Unavailable` where there is no room, or the log stopped. */
  submit(submissions: readonly Submission[], release: () => void = () => {}): Promise<Placement> {
    assert(submissions.length > 0, 'a request without submissions would never be taken')
    const bytes = submissions.reduce((sum, submission) => sum + submission.rowEnd - submission.chainStart, 0)
    if (this.#closed) return Promise.reject(new Unavailable('the log is shutting down', 5))
    if (!this.#hasRoom(submissions.length, bytes)) {
      return Promise.reject(new Unavailable(`${this.#entries} entries are pending: no room for more`))
    }
    this.#submitted++
    return new Promise((resolve, reject) => {
      this.#groups.push({
        submissions,
        bytes,
        release,
        resolve: (placement) => {
          resolve(placement)
          this.#settle()
        },
        reject: (reason) => {
          reject(reason)
          this.#settle()
        },
      })
      this.#entries += submissions.length
      this.#bytes += bytes
      this.#wake()
    })
  }

  /** Takes whole requests up to the limits, at least one where there is one. */
  take(limits: PoolLimits): Group[] {
    let entries = 0
    let bytes = 0
    let count = 0
    for (const group of this.#groups) {
      entries += group.submissions.length
      bytes += group.bytes
      if (count > 0 && (entries > limits.entriesMax || bytes > limits.bytesMax)) break
      count++
    }
    const taken = this.#groups.slice(0, count)
    this.#groups = this.#groups.slice(count)
    for (const group of taken) {
      this.#entries -= group.submissions.length
      this.#bytes -= group.bytes
    }
    return taken
  }

  /**
   * Resolves when as many entries are pending as `threshold` asks for, the pool is closed, or `signal` aborts. One
   * waiter at a time: the sequencer.
   */
  wait(threshold: () => number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.#entries < threshold() && !this.#closed && !signal.aborted) return
        this.#wake = () => {}
        signal.removeEventListener('abort', check)
        resolve()
      }
      signal.addEventListener('abort', check)
      this.#wake = check
      check()
    })
  }

  /** Has the waiter ask its threshold again. */
  recheck(): void {
    this.#wake()
  }

  /** Resolves when every request that came before this call has its answer, or after `maxMs`. */
  flushed(maxMs: number): Promise<void> {
    if (this.#settled >= this.#submitted) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, maxMs)
      const reached = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.#barriers.push({ target: this.#submitted, reached })
    })
  }

  get isDrained(): boolean {
    return this.#closed && this.#groups.length === 0
  }

  /** Takes nothing more; what is pending stays to be sequenced. */
  close(): void {
    this.#closed = true
    this.#wake()
  }

  /** Rejects everything that is pending. */
  rejectAll(reason: Error): void {
    for (const group of this.take({ entriesMax: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER })) {
      group.reject(reason)
    }
  }

  #settle(): void {
    this.#settled++
    while (this.#barriers[0] !== undefined && this.#barriers[0].target <= this.#settled) {
      this.#barriers.shift()?.reached()
    }
  }

  #hasRoom(entries: number, bytes: number): boolean {
    // An empty pool takes any request: those are bounded by the body limit.
    if (this.#groups.length === 0) return true
    return this.#entries + entries <= this.#limits.entriesMax && this.#bytes + bytes <= this.#limits.bytesMax
  }
}
