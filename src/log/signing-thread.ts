import type { ClientConfig } from 'pg'
import type { Hash } from '../../tlog/hash.ts'
import type { Command } from '../ops/outside-command.ts'
import { SpareThread, ThreadError } from '../ops/thread-calls.ts'
import type { Schema } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { CellPlace } from './cell-place.ts'
import { type IncidentCode, LogIncident } from './incident.ts'
import { Signer, type SignerOptions } from './signer.ts'

/** What the log needs of its signer, wherever it runs. */
export type LogSigner = Pick<Signer, 'last' | 'sign'> & { readonly close: () => Promise<void> }

/** A signer in this thread. */
export async function openSignerHere(options: SignerOptions): Promise<LogSigner> {
  const signer = await Signer.open(options)
  return {
    get last() {
      return signer.last
    },
    sign: (nowMs, resignAfterMs) => signer.sign(nowMs, resignAfterMs),
    close: async () => {},
  }
}

export type SignSetup = {
  readonly origin: string
  readonly keysFolder: string
  readonly passphraseCommand: Command | undefined
  readonly cell: CellPlace
  /** The signer's own login. */
  readonly config: ClientConfig
  readonly schema: Schema
  readonly statementTimeoutMs: number
}
export type SignRequest =
  | { readonly kind: 'open' }
  | { readonly kind: 'sign'; readonly nowMs: number; readonly resignAfterMs: number }

/** Heap of the thread, MiB: at most 2 MiB of hashes at a time. */
const heapMax = 64

/**
 * The thread of a signer, which asks database and cell nothing before one is opened in it. Signing is six steps, one
 * after the other; where each waited for a turn of a busy event loop, a checkpoint took longer than its interval
 * (measured with 2,048 connections).
 */
export function signingThread(setup: SignSetup): SpareThread {
  const file = new URL('./sign-thread.js', import.meta.url)
  return new SpareThread({ file, setup, heapMax, name: 'signing' })
}

/** Opens the signer in its thread, on what the cell remembers. */
export async function openSignerIn(spare: Pick<SpareThread, 'take'>): Promise<LogSigner> {
  const thread = await revived(spare.take())
  const ask = async (request: SignRequest): Promise<StoredCheckpoint> =>
    checkpointOf((await revived(thread.ask(request))) as StoredCheckpoint)
  let last = await ask({ kind: 'open' }).catch(async (error: unknown) => {
    await thread.close()
    throw error
  })
  return {
    get last() {
      return last
    },
    sign: async (nowMs, resignAfterMs) => {
      const before = last.number
      last = await ask({ kind: 'sign', nowMs, resignAfterMs })
      return last.number === before ? undefined : last
    },
    close: () => thread.close(),
  }
}

/** Structured clone keeps bytes, but not that we called 32 of them a hash. */
function checkpointOf(answer: StoredCheckpoint): StoredCheckpoint {
  return { ...answer, root: new Uint8Array(answer.root) as Hash }
}

/** An incident in the thread is one here. */
async function revived<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof ThreadError) || error.original !== 'LogIncident') throw error
    throw new LogIncident(error.code as IncidentCode, error.message, { cause: error })
  }
}
