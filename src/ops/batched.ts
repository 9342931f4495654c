type Wanted<K, V> = {
  readonly key: K
  readonly resolve: (value: V | Promise<V>) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Asks for many things at once. What is wanted while `underwayMax` questions are under way goes together into the next,
 * up to `keysMax` keys: a lone reader waits for nobody, a thousand cost few questions.
 */
export class Batched<K, V> {
  readonly #ask: (keys: readonly K[]) => Promise<readonly (V | Promise<V>)[]>
  readonly #keysMax: number
  readonly #underwayMax: number
  #wanted: Wanted<K, V>[] = []
  #underway = 0
  #isDue = false

  /** `ask` gives one value a key, in their order, or a promise of it: what is wrong with one key is told of that alone. */
  constructor(ask: (keys: readonly K[]) => Promise<readonly (V | Promise<V>)[]>, keysMax: number, underwayMax: number) {
    this.#ask = ask
    this.#keysMax = keysMax
    this.#underwayMax = underwayMax
  }

  /** Rejects with what `ask` rejected with. */
  get(key: K): Promise<V> {
    return new Promise((resolve, reject) => {
      this.#wanted.push({ key, resolve, reject })
      if (this.#isDue || this.#underway >= this.#underwayMax) return
      // At the end of the turn: requests that came together ask together.
      this.#isDue = true
      setImmediate(() => {
        this.#isDue = false
        this.#askNext()
      })
    })
  }

  #askNext(): void {
    while (this.#wanted.length > 0 && this.#underway < this.#underwayMax) {
      void this.#askFor(this.#wanted.splice(0, this.#keysMax))
    }
  }

  async #askFor(wanted: readonly Wanted<K, V>[]): Promise<void> {
    this.#underway++
    try {
      const values = await this.#ask(wanted.map(({ key }) => key))
      if (values.length !== wanted.length) throw new RangeError(`got ${values.length} answers, want ${wanted.length}`)
      wanted.forEach(({ resolve }, i) => {
        resolve(values[i] as V | Promise<V>)
      })
    } catch (error) {
      for (const { reject } of wanted) reject(error)
    } finally {
      this.#underway--
      this.#askNext()
    }
  }
}
