import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { ClientConfig } from 'pg'
import { settleWithin } from '../ops/time-out.ts'
import { type BatchRows, commitBatch, type Schema } from './batch.ts'
import type { Session } from './session.ts'

/** Commits batches, one after the other, on a connection of its own. */
export type Committer = {
  /** Resolves when the batch is durable. After a rejection its outcome is unknown, and the committer is of no more use. */
  readonly commit: (batch: BatchRows) => Promise<void>
  /** Keeps an idle connection from being closed. */
  readonly ping: () => Promise<void>
  readonly close: () => Promise<void>
}

/** A committer in this thread. */
export function sessionCommitter(session: Session, schema: Schema): Committer {
  return {
    commit: (batch) => commitBatch(session, schema, batch),
    ping: async () => {
      await session.query('select 1')
    },
    close: () => session.close(),
  }
}

export type WorkerSetup = { readonly config: ClientConfig; readonly schema: Schema; readonly idleTimeoutMs: number }
export type WorkerRequest = { readonly id: number } & (
  | { readonly kind: 'commit'; readonly batch: BatchRows }
  | { readonly kind: 'ping' | 'close' }
)
export type WorkerAnswer = { readonly id: number; readonly error?: string }

/** Heap of the worker, MiB: rows pass through it outside the heap. */
const workerHeapMax = 48
/** A connection that hangs is cut off after this time. */
const closeTimeoutMs = 2_000

/**
 * A committer in a thread of its own. PostgreSQL wants a batch fed in pieces of some 100 kB; where parsing and hashing
 * share the thread, it waited half of the time (measured: 25 us a row instead of 14).
 */
export async function openWorkerCommitter(setup: WorkerSetup): Promise<Committer> {
  const worker = new Worker(new URL('./commit-worker.js', import.meta.url), {
    workerData: setup,
    resourceLimits: { maxOldGenerationSizeMb: workerHeapMax },
  })
  const calls = new Map<number, { resolve: () => void; reject: (reason: Error) => void }>()
  let dead: Error | undefined
  const fail = (reason: Error): void => {
    dead ??= reason
    for (const call of calls.values()) call.reject(reason)
    calls.clear()
  }
  worker.on('error', fail)
  worker.on('exit', () => fail(new Error('the committing thread has ended')))
  const [first] = (await once(worker, 'message')) as [WorkerAnswer]
  if (first.error !== undefined) throw new Error(`the writer could not connect: ${first.error}`)
  worker.on('message', ({ id, error }: WorkerAnswer) => {
    const call = calls.get(id)
    calls.delete(id)
    if (error === undefined) call?.resolve()
    else call?.reject(new Error(error))
  })
  let lastId = 0
  const ask = (request: Omit<WorkerRequest, 'id'>, transfer: ArrayBuffer[] = []): Promise<void> =>
    new Promise((resolve, reject) => {
      // A message to a thread that has ended goes nowhere, and nobody answers.
      if (dead !== undefined) return reject(dead)
      const id = ++lastId
      calls.set(id, { resolve, reject })
      worker.postMessage({ ...request, id }, transfer)
    })
  return {
    commit: (batch) => ask({ kind: 'commit', batch } as Omit<WorkerRequest, 'id'>, buffersOf(batch)),
    ping: () => ask({ kind: 'ping' }),
    close: async () => {
      await settleWithin(closeTimeoutMs, 'close', ask({ kind: 'close' })).catch(() => {})
      await worker.terminate()
    },
  }
}

/** The rows are handed over, not copied: nobody reads them after this. */
function buffersOf({ ledgerRows, idRows }: BatchRows): ArrayBuffer[] {
  return [ledgerRows.buffer as ArrayBuffer, idRows.buffer as ArrayBuffer]
}
