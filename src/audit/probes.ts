import { probeRange, type RangeProbe } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import type { EntryRange } from './range-check.ts'
import { rangeLeaves } from './range-nodes.ts'

/** Ranges, from the newest on, that are looked at: a million entries. */
const rangesMax = 17

/** How a range was, up to an entry, when it was looked at last. */
export type KnownProbe = RangeProbe & { readonly index: number; readonly upTo: number }

/**
 * Looks whether rows of the newest ranges were changed: how many there are, and which transactions wrote them. Whoever
 * updates, deletes or inserts a row changes one of the two; only who writes PostgreSQL's files does not. What is known of
 * rows is taken before they are hashed: who changes them in between is seen by the one or by the other.
 */
export class Probes {
  readonly #query: Query
  readonly #schema: Schema
  readonly #known: Map<number, KnownProbe>

  constructor(query: Query, schema: Schema, known: readonly KnownProbe[]) {
    this.#query = query
    this.#schema = schema
    this.#known = new Map(known.map((probe) => [probe.index, probe]))
  }

  /** Of no range anything is known any more: all of them are hashed again. */
  forgetAll(): void {
    this.#known.clear()
  }

  /** To be remembered, also from run to run. */
  get known(): KnownProbe[] {
    return [...this.#known.values()]
  }

  /** Before rows behind all that are known are hashed the first time. */
  async advance({ above, upTo }: EntryRange): Promise<void> {
    for (let from = above; from < upTo; ) {
      const index = Math.floor(from / rangeLeaves)
      const to = Math.min(upTo, (index + 1) * rangeLeaves)
      const { rows, writers } = await probeRange(this.#query, this.#schema, from, to)
      const known = this.#known.get(index)
      if (from % rangeLeaves === 0) this.#known.set(index, { index, upTo: to, rows, writers })
      else if (known?.upTo === from) {
        this.#known.set(index, { index, upTo: to, rows: known.rows + rows, writers: known.writers + writers })
      }
      from = to
    }
    this.#forget(upTo)
  }

  /** The ranges up to `size` that are not what they were, or of which nothing is known; now they are known as they are. */
  async look(size: number): Promise<readonly EntryRange[]> {
    const changed: EntryRange[] = []
    this.#forget(size)
    for (let index = Math.max(0, newestOf(size) - rangesMax + 1); index <= newestOf(size); index++) {
      const above = index * rangeLeaves
      const upTo = Math.min(size, above + rangeLeaves)
      const known = this.#known.get(index)
      const { rows, writers } = await probeRange(this.#query, this.#schema, above, upTo)
      if (known?.upTo === upTo && known.rows === rows && known.writers === writers) continue
      this.#known.set(index, { index, upTo, rows, writers })
      changed.push({ above, upTo })
    }
    return changed
  }

  #forget(size: number): void {
    for (const index of this.#known.keys()) if (index <= newestOf(size) - rangesMax) this.#known.delete(index)
  }
}

function newestOf(size: number): number {
  return Math.floor((size - 1) / rangeLeaves)
}
