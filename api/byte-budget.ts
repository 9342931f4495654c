import { Unavailable } from '../src/log/incident.ts'

type Waiter = { readonly bytes: number; readonly grant: () => void }

/**
 * Bounds the bytes that all requests take together, for their bodies or for what they read. Who does not fit comes again
 * later; who says beforehand how much it will be may wait for it.
 */
export class ByteBudget {
  readonly #bytesMax: number
  readonly #waitedMax: number
  #bytes = 0
  #waiters: Waiter[] = []

  /** `waitedMax`: those that wait get no more together, so that the others, who do not, find room. */
  constructor(bytesMax: number, waitedMax: number = bytesMax) {
    this.#bytesMax = bytesMax
    this.#waitedMax = waitedMax
  }

  get bytesTaken(): number {
    return this.#bytes
  }

  /**
   * Throws `Unavailable` where there is no room; for who is alone there is room for anything. `ownBytes`: what the taker
   * has already.
   */
  take(bytes: number, ownBytes: number = 0): void {
    if (this.#bytes > ownBytes && !this.#hasRoom(bytes, this.#bytesMax)) throw noRoom()
    this.#bytes += bytes
  }

  /** Takes when there is room, first come first served; rejects with `Unavailable` where there is none after `maxMs`. */
  takeLater(bytes: number, maxMs: number): Promise<void> {
    if (this.#waiters.length === 0 && this.#hasRoom(bytes, this.#waitedMax)) {
      this.#bytes += bytes
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter)
        reject(noRoom())
        // Those behind may be smaller.
        this.#grant()
      }
      const timer = setTimeout(giveUp, maxMs)
      const grant = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const waiter = { bytes, grant }
      this.#waiters.push(waiter)
    })
  }

  give(bytes: number): void {
    this.#bytes -= bytes
    this.#grant()
  }

  #grant(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      if (!this.#hasRoom(first.bytes, this.#waitedMax)) return
      this.#waiters.shift()
      this.#bytes += first.bytes
      first.grant()
    }
  }

  #hasRoom(bytes: number, bytesMax: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= bytesMax
  }
}

function noRoom(): Unavailable {
  return new Unavailable('too many bytes of other requests are under way')
}

/** What one request took. */
export class BudgetShare {
  readonly #budget: ByteBudget
  #bytes = 0
  /** Taken beforehand, and not used yet. */
  #ahead = 0

  constructor(budget: ByteBudget) {
    this.#budget = budget
  }

  take(bytes: number): void {
    const used = Math.min(bytes, this.#ahead)
    if (bytes > used) this.#budget.take(bytes - used, this.#bytes)
    this.#ahead -= used
    this.#bytes += bytes - used
  }

  /** Gives back what was taken ahead and not used. */
  settle(): void {
    this.reduceTo(this.#bytes - this.#ahead)
    this.#ahead = 0
  }

  /** Waits until `bytes` can be taken, which `take` then uses first. */
  async takeAhead(bytes: number, maxMs: number): Promise<void> {
    await this.#budget.takeLater(bytes, maxMs)
    this.#bytes += bytes
    this.#ahead += bytes
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
