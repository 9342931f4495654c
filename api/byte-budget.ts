import { Unavailable } from '../src/log/incident.ts'

/** Bounds the bytes that all requests take together, for their bodies or for what they read; who does not fit comes again later. */
export class ByteBudget {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytesTaken(): number {
    return this.#bytes
  }

  /** Throws `Unavailable` where there is no room; a budget that nobody uses has room for anything. */
  take(bytes: number): void {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      throw new Unavailable('too many bytes of other requests are under way')
    }
    this.#bytes += bytes
  }

  give(bytes: number): void {
    this.#bytes -= bytes
  }
}

/** What one request took. */
export class BudgetShare {
  readonly #budget: ByteBudget
  #bytes = 0

  constructor(budget: ByteBudget) {
    this.#budget = budget
  }

  take(bytes: number): void {
    this.#budget.take(bytes)
    this.#bytes += bytes
  }

  /** Gives back what is more than `bytes`. */
  reduceTo(bytes: number): void {
    if (bytes >= this.#bytes) return
    this.#budget.give(this.#bytes - bytes)
    this.#bytes = bytes
  }

  /** Gives all of it back. */
  close(): void {
    this.reduceTo(0)
  }
}
