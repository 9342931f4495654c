import { setTimeout as sleep } from 'node:timers/promises'
import { TlogError } from '../../tlog/errors.ts'
import type { Schema } from '../store/batch.ts'
import type { NumberRange } from '../store/search.ts'
import {
  type ProofPositions,
  readProofPositions,
  readSearchRows,
  rebuildSearch,
  saveProofPositions,
  trimSearch,
} from '../store/search-proof.ts'
import type { Query } from '../store/session.ts'
import { compareRows, type LedgerEntries, type SearchDefect } from './search-defect.ts'

export type SearchProofOptions = {
  /**
   * Entries of the ledger, both ends included, that are in the signed tree, and the numbers of the others; a TlogError
   * where the tree's own tiles are wrong.
   */
  readonly readEntries: (from: number, to: number) => Promise<LedgerEntries>
  readonly publishedSize: () => number
  /** Up to which entry the search tables go, as far as is known. */
  readonly searchedSize: () => number
  /** Told what is found, before it is mended. */
  readonly onDefects: (defects: readonly SearchDefect[]) => void
  /** Told of each failure; what failed is done again. */
  readonly onFailed: (name: string, error: unknown) => void
  readonly timing?: Partial<ProofTiming>
}

export type ProofTiming = {
  /** After a step it rests so many times its own time, and at least `restMinMs`: 3 to 4 % of a core. */
  readonly restFactor: number
  /** The same while the log is busy. */
  readonly restWhileBusy: number
  readonly restMinMs: number
  /** Entries a second from which the log is busy. */
  readonly busyRate: number
  /** From the beginning of a round to the next one, at least. */
  readonly roundMinMs: number
  readonly retryMs: number
}

const defaultTiming: ProofTiming = {
  restFactor: 25,
  restWhileBusy: 500,
  restMinMs: 500,
  busyRate: 2_000,
  roundMinMs: 60_000,
  retryMs: 30_000,
}

/** Of one step: 17 ms of this process, for which nobody else has their turn. Divides a segment. */
const stepEntries = 512
/** What cannot be proved is narrowed down to this. */
const tileEntries = 256

/**
 * Proves that the search tables hold what the tree holds, and mends them where they do not: rows are derived from the
 * ledger. New rows first; then all of them from the first on, round after round, since rows that were right can be
 * changed later. Each row is compared, column by column, with the ledger's, and that with the signed tree.
 *
 * A server that starts goes on where the last one stood. Nothing waits for it, and its failures are its own.
 */
export class SearchProof {
  readonly #query: Query
  readonly #schema: Schema
  readonly #options: SearchProofOptions
  readonly #timing: ProofTiming
  #saved: ProofPositions | undefined
  /** Entries that were compared at least once; with what is open among them. */
  #compared = 0
  #round = 0
  #roundStartedAt = Number.NEGATIVE_INFINITY
  /** First entry and count of what is wrong in a step's range and could not be mended, by the number of the range. */
  readonly #open = new Map<number, { readonly first: number; readonly count: number }>()

  constructor(query: Query, schema: Schema, options: SearchProofOptions) {
    this.#query = query
    this.#schema = schema
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
  }

  /** So many entries, from the first on, are in the search tables as they are in the tree, as far as was seen. */
  get provenSize(): number {
    const firsts = [...this.#open.values()].map(({ first }) => first)
    return firsts.reduce((least, first) => Math.min(least, first - 1), this.#compared)
  }

  /** Walks until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
    while (!signal.aborted) {
      const size = this.#options.publishedSize()
      const startedAt = performance.now()
      try {
        await this.step()
        const tookMs = performance.now() - startedAt
        await pause(this.#timing.restMinMs)
        await pause(this.#restMs(size, startedAt, tookMs))
      } catch (error) {
        this.#options.onFailed('search-proof', error)
        await pause(this.#timing.retryMs)
      }
    }
  }

  /** Compares what is next, if anything is. */
  async step(): Promise<void> {
    if (this.#saved === undefined) {
      this.#saved = await readProofPositions(this.#query, this.#schema)
      this.#compared = this.#saved.proven
      this.#round = this.#saved.round
    }
    const size = Math.min(this.#options.searchedSize(), this.#options.publishedSize())
    if (this.#compared < size) {
      this.#compared = await this.#compareFrom(this.#compared, size)
    } else if (this.#round < size && this.#isRoundDue()) {
      this.#round = await this.#compareFrom(this.#round, size)
      if (this.#round >= size) await this.#endRound(size)
    }
    await this.#save()
  }

  #isRoundDue(): boolean {
    if (this.#round > 0) return true
    if (performance.now() - this.#roundStartedAt < this.#timing.roundMinMs) return false
    this.#roundStartedAt = performance.now()
    return true
  }

  async #compareFrom(above: number, size: number): Promise<number> {
    const range = { above, upTo: Math.min(size, (Math.floor(above / stepEntries) + 1) * stepEntries) }
    const found = await this.#compare(range)
    if (this.#note(range, found)) this.#options.onDefects(found)
    if (found.some(isMendable)) await this.#mend(range, found)
    return range.upTo
  }

  async #compare(range: NumberRange): Promise<SearchDefect[]> {
    const { above, upTo } = range
    let entries: LedgerEntries
    try {
      entries = await this.#options.readEntries(above + 1, upTo)
    } catch (error) {
      if (!(error instanceof TlogError)) throw error
      if (upTo - above <= tileEntries) return [{ sequenceNumber: above + 1, kind: 'unprovable', columns: [] }]
      const middle = above + Math.ceil((upTo - above) / 2)
      return [...(await this.#compare({ above, upTo: middle })), ...(await this.#compare({ above: middle, upTo }))]
    }
    return compareRows(entries, await readSearchRows(this.#query, this.#schema, range))
  }

  /** Only where every row of the ledger was proved: a wrong one would be copied. */
  async #mend(range: NumberRange, found: readonly SearchDefect[]): Promise<void> {
    if (!found.every(isMendable)) return
    try {
      await rebuildSearch(this.#query, this.#schema, range)
      this.#note(range, await this.#compare(range))
    } catch (error) {
      // It stays open and is seen again in the next round.
      this.#options.onFailed('search-proof', error)
    }
  }

  /** Remembers what is open in a range. Whether that is something that was not known. */
  #note({ above, upTo }: NumberRange, defects: readonly SearchDefect[]): boolean {
    const key = Math.floor(above / stepEntries)
    const before = this.#open.get(key)
    const [first] = defects
    if (first === undefined) {
      if (before !== undefined && before.first > above && before.first <= upTo) this.#open.delete(key)
      return false
    }
    this.#open.set(key, { first: first.sequenceNumber, count: defects.length })
    return before?.first !== first.sequenceNumber || before.count !== defects.length
  }

  async #endRound(size: number): Promise<void> {
    this.#round = 0
    if ((await trimSearch(this.#query, this.#schema)) === 0) return
    this.#options.onDefects([{ sequenceNumber: size + 1, kind: 'additional', columns: [] }])
  }

  async #save(): Promise<void> {
    const positions = { proven: this.provenSize, round: this.#round }
    if (this.#saved?.proven === positions.proven && this.#saved.round === positions.round) return
    await saveProofPositions(this.#query, this.#schema, positions)
    this.#saved = positions
  }

  #restMs(sizeBefore: number, startedAt: number, tookMs: number): number {
    const { busyRate, restFactor, restWhileBusy, restMinMs } = this.#timing
    const published = this.#options.publishedSize() - sizeBefore
    const isBusy = published * 1_000 > busyRate * (performance.now() - startedAt)
    return Math.max(0, (isBusy ? restWhileBusy : restFactor) * tookMs - restMinMs)
  }
}

function isMendable({ kind }: SearchDefect): boolean {
  return kind !== 'damaged' && kind !== 'unprovable'
}
