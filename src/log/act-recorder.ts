import { setTimeout as sleep } from 'node:timers/promises'
import { TlogError } from '../../tlog/errors.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import type { NoteVerifier } from '../../tlog/note.ts'
import { settleWithin } from '../ops/time-out.ts'
import { deleteActs, readOldestActs, type SignedAct } from '../store/acts.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { submissionOfAct } from './own-act-entry.ts'
import type { Placement } from './pool.ts'
import type { Submission } from './submission.ts'

/** Something that has acts to tell: puts them into the outbox. Called again after a failure. */
export type ActSource = {
  readonly name: string
  readonly tell: () => Promise<void>
}

export type ActRecorderOptions = {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  /** Of the log's note key. */
  readonly verifier: NoteVerifier
  readonly hash: Sha256
  /** The log's own door; resolves when the entries are durable. */
  readonly submit: (submissions: readonly Submission[]) => Promise<Placement>
  readonly isReady: () => boolean
  /** Asked each time; those of `whenReady` only where the log takes entries. */
  readonly sources: readonly ActSource[]
  readonly whenReady: readonly ActSource[]
  /** Told of each failure; what failed is tried again. */
  readonly onFailed: (name: string, error: unknown) => void
  /** Told of an act that can never be an entry: nobody of us signed it, or another entry has its id. */
  readonly onDropped: (act: SignedAct, reason: string) => void
  readonly timing?: Partial<ActTiming>
}

/** Milliseconds. */
export type ActTiming = {
  readonly everyMs: number
  /** What the last round may take, when the log is about to stop. */
  readonly lastMs: number
}

const defaultTiming: ActTiming = { everyMs: 1_000, lastMs: 2_000 }

/** Acts of one submission: they wait in the log's pool like those of any client. */
const actsMax = 100

/**
 * Makes entries of what the log did. Nothing of the log waits for it, and no failure of it stops anything: what could not
 * be recorded stays in the outbox, also for the next start. An act is taken out of it only when its entry is durable; a
 * crash in between submits it again, with the same id, and that is the same entry.
 */
export class ActRecorder {
  readonly #options: ActRecorderOptions
  readonly #timing: ActTiming

  constructor(options: ActRecorderOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
  }

  /** Records until `signal` aborts, then once more: the log should still run until this resolves. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    let round = Promise.resolve()
    while (!signal.aborted) {
      round = this.#round()
      await Promise.race([round, aborted])
      await sleep(this.#timing.everyMs, undefined, { signal }).catch(() => {})
    }
    // A round that hangs, because the database does, must not keep the log from stopping.
    await this.#within(
      'record acts',
      round.then(() => this.#round()),
    )
  }

  /** Puts what there is to tell into the outbox, for the next start. Never rejects. */
  async close(): Promise<void> {
    await this.#within('keep acts', this.#tellAll(this.#options.sources))
  }

  async #round(): Promise<void> {
    const { sources, whenReady, isReady } = this.#options
    await this.#tellAll(sources)
    if (!isReady()) return
    await this.#tellAll(whenReady)
    await this.#try('outbox', () => this.#empty())
  }

  async #tellAll(sources: readonly ActSource[]): Promise<void> {
    for (const { name, tell } of sources) await this.#try(name, tell)
  }

  async #empty(): Promise<void> {
    const { query, schema, submit, isReady } = this.#options
    while (isReady()) {
      const acts = await readOldestActs(query, schema, actsMax)
      if (acts.length === 0) return
      const good = acts.flatMap((act) => this.#submissionOf(act))
      if (good.length > 0) {
        const { known } = await submit(good.map(({ submission }) => submission))
        for (const { i, kind } of known) if (kind === 'conflict') this.#drop(good[i]?.act, 'another entry has its id')
      }
      await deleteActs(
        query,
        schema,
        acts.map(({ id }) => id),
      )
      if (acts.length < actsMax) return
    }
  }

  #submissionOf(act: SignedAct): { readonly act: SignedAct; readonly submission: Submission }[] {
    try {
      return [{ act, submission: submissionOfAct(act, this.#options.verifier, this.#options.hash) }]
    } catch (error) {
      // Whatever is wrong with it: it will not get better, and those behind it must not wait for it.
      this.#drop(act, error instanceof TlogError ? error.message : 'it cannot be read')
      return []
    }
  }

  #drop(act: SignedAct | undefined, reason: string): void {
    if (act !== undefined) this.#options.onDropped(act, reason)
  }

  async #try(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#options.onFailed(name, error)
    }
  }

  async #within(what: string, work: Promise<void>): Promise<void> {
    await this.#try(what, () => settleWithin(this.#timing.lastMs, what, work))
  }
}
