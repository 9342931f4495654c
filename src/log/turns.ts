import type { Turn } from './log-options.ts'

/** What begins anew for a log, told once each, with the time that it took. */
export class Turns {
  readonly #tell: (turn: Turn) => void
  readonly #isOneOfSeveral: boolean
  readonly #size: () => number
  /** By `performance.now()`. */
  #stoodBySince: number | undefined
  #stoppedSince: number | undefined
  #hasLed = false

  /** `size`: how many entries are durable, as far as is known. */
  constructor(tell: (turn: Turn) => void, isOneOfSeveral: boolean, size: () => number) {
    this.#tell = tell
    this.#isOneOfSeveral = isOneOfSeveral
    this.#size = size
  }

  /** Whoever fails while it stands by goes on standing by. */
  noteStandby(): void {
    this.#stoppedSince = undefined
    if (this.#stoodBySince !== undefined) return
    this.#stoodBySince = performance.now()
    this.#tell({ kind: 'stands-by', size: this.#size() })
  }

  noteStop(): void {
    this.#stoppedSince ??= performance.now()
  }

  /** The log takes entries. Of a server that is the only one a start is nothing to tell. */
  noteWork(): void {
    const [stoodByMs, stoppedForMs] = [since(this.#stoodBySince), since(this.#stoppedSince)]
    const size = this.#size()
    const isFirstOfSeveral = this.#isOneOfSeveral && !this.#hasLed
    if (stoodByMs !== undefined || isFirstOfSeveral) this.#tell({ kind: 'leads', size, stoodByMs })
    else if (stoppedForMs !== undefined) this.#tell({ kind: 'works-again', size, stoppedForMs })
    this.#stoodBySince = undefined
    this.#stoppedSince = undefined
    this.#hasLed = true
  }
}

function since(startedAt: number | undefined): number | undefined {
  return startedAt === undefined ? undefined : Math.round(performance.now() - startedAt)
}
