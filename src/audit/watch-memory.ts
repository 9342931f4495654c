import { Told } from './told.ts'
import type { KnownFinding, VerifierState } from './verifier-state.ts'

export type WatchMemoryOptions = {
  /** The state as somebody else kept it since this one was kept or read; undefined where nobody did. */
  readonly readOthers: () => Promise<VerifierState | undefined>
  /** Kept outside of the database. */
  readonly save: (state: VerifierState) => Promise<void>
  /** Between two times that it is kept, where nothing was found. */
  readonly saveMs: number
}

/** What a verifier remembers, and when that is kept: what was found at once, how far it is now and then. */
export class WatchMemory {
  readonly told: Told
  readonly #options: WatchMemoryOptions
  #state: VerifierState
  #savedAt = Number.NEGATIVE_INFINITY
  #isSaved = true
  #notKept: string | undefined

  constructor(state: VerifierState, options: WatchMemoryOptions) {
    this.#options = options
    this.#state = state
    this.told = new Told(state.findings)
  }

  get state(): VerifierState {
    return this.#state
  }

  /** Why the state could not be kept when that was tried last. */
  get notKept(): string | undefined {
    return this.#notKept
  }

  change(parts: Partial<VerifierState>): void {
    this.#state = { ...this.#state, ...parts }
    this.#isSaved = false
  }

  /** Gives what somebody else has forgotten meanwhile. What is looked for does not wait for a state that cannot be kept. */
  async keep(isUrgent: boolean, { look }: Pick<VerifierState, 'look'>): Promise<readonly KnownFinding[]> {
    const now = performance.now()
    if (this.#isSaved || (!isUrgent && now - this.#savedAt < this.#options.saveMs)) return []
    this.#savedAt = now
    try {
      const others = await this.#options.readOthers()
      const forgotten = others === undefined ? [] : this.told.adopt(others.findings)
      this.#state = { ...this.#state, look, full: others === undefined ? this.#state.full : others.full }
      await this.#options.save({ ...this.#state, findings: this.told.findings })
      this.#notKept = undefined
      this.told.kept()
      this.#isSaved = true
      return forgotten
    } catch (error) {
      this.#notKept = `what it remembers cannot be kept: ${(error as Error).message}`
      return []
    }
  }
}
