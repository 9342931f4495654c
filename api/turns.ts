/**
 * One at a time: work that can wait, so that it does not keep those waiting who cannot. Where more of it queues, each
 * piece is followed by `restRatio` times its own time of rest. Alone it goes at full speed.
 */
export class Turns {
  readonly #restRatio: number
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(restRatio: number) {
    this.#restRatio = restRatio
  }

  /** What `work` gives when its turn has come. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#last
    let endTurn: () => void = () => {}
    this.#last = new Promise<void>((resolve) => {
      endTurn = resolve
    })
    this.#waiting++
    await before
    this.#waiting--
    const startedAt = performance.now()
    try {
      return await work()
    } finally {
      const restMs = this.#waiting === 0 ? 0 : this.#restRatio * (performance.now() - startedAt)
      if (restMs === 0) endTurn()
      else setTimeout(endTurn, restMs)
    }
  }
}
