import type { Findings } from './measures.ts'
import type { Plan } from './plan.ts'

/** What a part of the bench gets. */
export type PartContext = {
  readonly plan: Plan
  /** Exists, is empty or other parts' names, and is removed at the end. */
  readonly folder: string
  /** wrk's version, where it is installed. */
  readonly wrk: string | undefined
  /** Says how far it is. Throws where the bench was interrupted, so that what runs is ended in order. */
  readonly progress: (message: string) => void
}

/** Measures; throws where it could not. */
export type Part = (context: PartContext) => Promise<Findings>

/** Collects one value a run for each measure. */
export class FindingsList {
  readonly #values: Record<string, number[]> = {}

  add(id: string, value: number): void {
    this.#values[id] ??= []
    this.#values[id].push(value)
  }

  get findings(): Findings {
    return this.#values
  }
}
