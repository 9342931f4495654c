import { availableParallelism } from 'node:os'
import { Thread } from '../ops/thread-calls.ts'
import type { Schema } from '../store/batch.ts'
import type { ScanConfig } from '../store/ledger-scan.ts'
import type { RangeResult } from './range-check.ts'
import type { RangeRequest } from './range-work.ts'

/** Given to each thread. */
export type RangeSetup = { readonly config: ScanConfig; readonly schema: Schema }

/** Of a thread, MiB: the nodes of a range, and the rest of a heap. */
const heapMax = 128
/** More of them than a few wait for the database, and each holds 10 MB. */
const threadsMax = 8

/** A range that was given to a thread; `result` when it is there. */
type Underway = { result?: RangeResult; readonly done: Promise<void> }

/** Threads that check ranges, each with a connection of its own. */
export class RangeThreads {
  readonly #threads: readonly Thread[]

  private constructor(threads: readonly Thread[]) {
    this.#threads = threads
  }

  static async open(setup: RangeSetup, count: number = threadCount()): Promise<RangeThreads> {
    const file = new URL('./range-thread.js', import.meta.url)
    const options = { file, setup, heapMax, name: 'checking' }
    const opened = await Promise.allSettled(Array.from({ length: count }, () => Thread.open(options)))
    const threads = new RangeThreads(
      opened.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])),
    )
    const failed = opened.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined) return threads
    await threads.close()
    throw failed.reason
  }

  /**
   * Checks the ranges, and hands the results to `join`, one after the other in their order, while the next ones are
   * checked. Rejects with the first failure, or the reason of `signal`; then threads may still be at work until `close`.
   */
  async checkAll(
    requests: Iterable<RangeRequest>,
    join: (result: RangeResult) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const idle = [...this.#threads]
    const underway: Underway[] = []
    const underwayMax = 2 * idle.length
    let joined = Promise.resolve()
    const joinDone = async (): Promise<void> => {
      while (underway[0]?.result !== undefined) {
        const { result } = underway.shift() as Required<Underway>
        // While this one is joined, threads get the next ranges.
        await joined
        joined = join(result)
        joined.catch(() => {})
      }
    }
    for (const request of requests) {
      while (idle.length === 0 || underway.length >= underwayMax) {
        await Promise.race(underway.filter(({ result }) => result === undefined).map(({ done }) => done))
        await joinDone()
      }
      signal.throwIfAborted()
      underway.push(ask(idle, request))
    }
    while (underway.length > 0) {
      await underway[0]?.done
      await joinDone()
    }
    await joined
    signal.throwIfAborted()
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()))
  }
}

/** Gives the range to the next thread, which is idle again when it has answered. */
function ask(idle: Thread[], request: RangeRequest): Underway {
  const thread = idle.pop() as Thread
  const underway: Underway = {
    done: thread.ask(request).then((result) => {
      idle.push(thread)
      underway.result = result as RangeResult
    }),
  }
  // It is awaited when its turn comes; another one may fail before.
  underway.done.catch(() => {})
  return underway
}

function threadCount(): number {
  return Math.min(threadsMax, availableParallelism())
}
