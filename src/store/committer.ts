import type { ClientConfig } from 'pg'
import { loggableMessage } from '../ops/describe-error.ts'
import { SpareThread, type Thread, ThreadError } from '../ops/thread-calls.ts'
import { type BatchRows, commitBatch, type Schema } from './batch.ts'
import type { Session } from './session.ts'

/**
 * Commits batches, one after the other, on a connection of its own. The next may be given before the last is durable:
 * it is begun at once when that is, and never when that failed.
 */
export type Committer = {
  /**
   * Resolves when the batch is durable, with the buffers of its rows, which may be used again. After a rejection its
   * outcome is unknown, and the committer is of no more use.
   */
  readonly commit: (batch: BatchRows) => Promise<readonly ArrayBuffer[]>
  /** Keeps an idle connection from being closed. */
  readonly ping: () => Promise<void>
  readonly close: () => Promise<void>
}

/** A committer in this thread. */
export function sessionCommitter(session: Session, schema: Schema): Committer {
  let last: Promise<unknown> = Promise.resolve()
  return {
    commit: (batch) => {
      const committed = last.then(() => commitBatch(session, schema, batch)).then(() => buffersOf(batch))
      last = committed
      return committed
    },
    ping: async () => {
      await session.query('select 1')
    },
    close: () => session.close(),
  }
}

export type CommitSetup = { readonly config: ClientConfig; readonly schema: Schema; readonly idleTimeoutMs: number }
export type CommitRequest = { readonly kind: 'commit'; readonly batch: BatchRows } | { readonly kind: 'open' | 'ping' }

/** Heap of the thread, MiB: rows pass through it outside the heap. */
const heapMax = 48

/**
 * A committer in a thread of its own. PostgreSQL wants a batch fed in pieces of some 100 kB; where parsing and hashing
 * share the thread, it waited half of the time (measured: 25 us a row instead of 14).
 */
export function openCommitThread(setup: CommitSetup): Promise<Committer> {
  return openCommitterIn(committingThread(setup))
}

/** The thread itself, which does not connect before a committer is opened in it. */
export function committingThread(setup: CommitSetup): SpareThread {
  const file = new URL('./commit-thread.js', import.meta.url)
  return new SpareThread({ file, setup, heapMax, name: 'committing' })
}

/** Opens the committer in a thread, as `openCommitThread`. */
export async function openCommitterIn(spare: Pick<SpareThread, 'take'>): Promise<Committer> {
  const thread = await spare.take()
  const ask = async (request: CommitRequest, transfer: readonly ArrayBuffer[] = []): Promise<unknown> => {
    try {
      return await thread.ask(request, transfer)
    } catch (cause) {
      if (!(cause instanceof ThreadError) || cause.code === undefined) throw cause
      throw new Error(`${cause.code}: ${cause.message}`, { cause })
    }
  }
  await connect(thread)
  return {
    commit: async (batch) => (await ask({ kind: 'commit', batch }, buffersOf(batch))) as readonly ArrayBuffer[],
    ping: async () => {
      await ask({ kind: 'ping' })
    },
    close: () => thread.close(),
  }
}

async function connect(thread: Thread): Promise<void> {
  try {
    await thread.ask({ kind: 'open' } satisfies CommitRequest)
  } catch (cause) {
    await thread.close()
    const reason = cause instanceof Error ? loggableMessage(cause) : 'no reason'
    throw new Error(`the writer could not connect: ${reason}`, { cause })
  }
}

/** The rows are handed over and back, not copied: nobody reads them meanwhile. */
function buffersOf({ ledgerRows, idRows }: BatchRows): ArrayBuffer[] {
  return [ledgerRows.buffer as ArrayBuffer, idRows.buffer as ArrayBuffer]
}
