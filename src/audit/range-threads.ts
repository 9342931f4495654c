import { availableParallelism } from 'node:os'
import { Thread } from '../ops/thread-calls.ts'
import type { Schema } from '../store/batch.ts'
import type { ReadConfig } from '../store/copy-out.ts'
import { createResultBuffers, type ResultBuffers } from './range-buffers.ts'
import type { RangeResult } from './range-check.ts'
import type { RangeJob, RangeRequest } from './range-work.ts'

/** Given to each thread. */
export type RangeSetup = { readonly config: ReadConfig; readonly schema: Schema }

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
    jobs: Iterable<RangeJob>,
    join: (result: RangeResult) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const idle = [...this.#threads]
    const underway: Underway[] = []
    // The results of half as many as there are threads may wait for one that is slow: 6 MiB each.
    const underwayMax = Math.ceil(1.5 * idle.length)
    const spare: ResultBuffers[] = []
    let last: RangeResult | undefined
    let joined = Promise.resolve()
    const joinDone = async (): Promise<void> => {
      for (let [next] = underway; next?.result !== undefined; [next] = underway) {
        underway.shift()
        // While one is joined, threads get the next ranges.
        await joined
        // Whoever joins looks back at the last one.
        if (last !== undefined) spare.push(last.buffers)
        last = next.result
        joined = join(last)
        joined.catch(() => {})
      }
    }
    for (const job of jobs) {
      for (;;) {
        await joinDone()
        if (idle.length > 0 && underway.length < underwayMax) break
        await Promise.race(underway.filter(({ result }) => result === undefined).map(({ done }) => done))
      }
      signal.throwIfAborted()
      underway.push(ask(idle, { ...job, buffers: spare.pop() ?? createResultBuffers() }))
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
    done: thread.ask(request, buffersOf(request.buffers)).then((result) => {
      idle.push(thread)
      underway.result = result as RangeResult
    }),
  }
  // It is awaited when its turn comes; another one may fail before.
  underway.done.catch(() => {})
  return underway
}

/** What is handed over instead of copied. */
export function buffersOf({ nodes, chainHashes }: ResultBuffers): ArrayBuffer[] {
  return [nodes.buffer, chainHashes.buffer] as ArrayBuffer[]
}

function threadCount(): number {
  return Math.min(threadsMax, availableParallelism())
}
