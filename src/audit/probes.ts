import { randomInt } from 'node:crypto'
import { probeRange, probeSumMax, type RangeProbe } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import type { EntryRange } from './range-check.ts'
import { rangeLeaves } from './range-nodes.ts'

/** Ranges, from the newest on, that are looked at: a million entries. */
const rangesMax = 17

/** How a range was, up to an entry, when it was looked at last. */
type KnownProbe = RangeProbe & { readonly index: number; readonly upTo: number }

/** With the seed of their hashes. */
export type KnownProbes = { readonly seed: number; readonly ranges: readonly KnownProbe[] }

/** `isRewritten`: it was known otherwise, and not just unknown. */
export type ChangedRange = { readonly range: EntryRange; readonly isRewritten: boolean }

/** `randomInt` takes so many. */
const seedMax = 2 ** 48 - 1

/**
 * Looks whether rows of the newest ranges were changed: how many there are, which transactions wrote them, and where they
 * are. Whoever updates, deletes or inserts a row changes one of these; only who writes PostgreSQL's files does not. Who has
 * held old transactions open can choose among them, but not so that hashes under a seed that is not in the database fit. What is known of
 * rows is taken before they are hashed: who changes them in between is seen by the one or by the other.
 */
export class Probes {
  readonly #query: Query
  readonly #schema: Schema
  readonly #seed: number
  readonly #known: Map<number, KnownProbe>

  constructor(query: Query, schema: Schema, known: KnownProbes | null) {
    this.#query = query
    this.#schema = schema
    this.#seed = known?.seed ?? randomInt(seedMax)
    this.#known = new Map(known?.ranges.map((probe) => [probe.index, probe]))
  }

  /** Of no range anything is known any more: all of them are hashed again. */
  forgetAll(): void {
    this.#known.clear()
  }

  /** To be remembered, also from run to run. */
  get known(): KnownProbes {
    return { seed: this.#seed, ranges: [...this.#known.values()] }
  }

  /** Before rows behind all that are known are hashed the first time. */
  async advance({ above, upTo }: EntryRange): Promise<void> {
    for (let from = above; from < upTo; ) {
      const index = Math.floor(from / rangeLeaves)
      const to = Math.min(upTo, (index + 1) * rangeLeaves)
      const { rows, sum } = await this.#probe(from, to)
      const known = this.#known.get(index)
      if (from % rangeLeaves === 0) this.#known.set(index, { index, upTo: to, rows, sum })
      else if (known?.upTo === from) {
        const both = { rows: known.rows + rows, sum: (known.sum + sum) % probeSumMax }
        this.#known.set(index, { index, upTo: to, ...both })
      }
      from = to
    }
    this.#forget(upTo)
  }

  /** The ranges up to `size` that are not what they were, or of which nothing is known; now they are known as they are. */
  async look(size: number): Promise<readonly ChangedRange[]> {
    const changed: ChangedRange[] = []
    this.#forget(size)
    for (let index = Math.max(0, newestOf(size) - rangesMax + 1); index <= newestOf(size); index++) {
      const above = index * rangeLeaves
      const upTo = Math.min(size, above + rangeLeaves)
      const known = this.#known.get(index)
      const { rows, sum } = await this.#probe(above, upTo)
      const isKnown = known?.upTo === upTo
      if (isKnown && known.rows === rows && known.sum === sum) continue
      this.#known.set(index, { index, upTo, rows, sum })
      changed.push({ range: { above, upTo }, isRewritten: isKnown })
    }
    return changed
  }

  #probe(above: number, upTo: number): Promise<RangeProbe> {
    return probeRange(this.#query, this.#schema, { above, upTo }, this.#seed)
  }

  #forget(size: number): void {
    for (const index of this.#known.keys()) if (index <= newestOf(size) - rangesMax) this.#known.delete(index)
  }
}

function newestOf(size: number): number {
  return Math.floor((size - 1) / rangeLeaves)
}
