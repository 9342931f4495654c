import type { Measure } from './containment.ts'
import { addHold, type Hold, readHolds } from './holds.ts'

/** Whether checkpoints may be signed. */
export class PublishingStop {
  readonly #dataDir: string
  readonly #nowMs: () => number
  #hold: Hold | undefined
  /** It could not be written: nothing but the end of this process releases it. */
  #isUnwritten = false

  private constructor(dataDir: string, nowMs: () => number, hold: Hold | undefined) {
    this.#dataDir = dataDir
    this.#nowMs = nowMs
    this.#hold = hold
  }

  /** Throws where nobody can say whether an earlier process was stopped. */
  static async open(dataDir: string, nowMs: () => number): Promise<PublishingStop> {
    return new PublishingStop(dataDir, nowMs, (await readHolds(dataDir)).publishing)
  }

  /** Why nothing is to be signed; undefined where it may be. */
  get hold(): Hold | undefined {
    return this.#hold
  }

  /** Looks whether it was released. Where that cannot be read it was not. */
  async look(): Promise<void> {
    if (this.#hold === undefined || this.#isUnwritten) return
    const holds = await readHolds(this.#dataDir).catch(() => undefined)
    if (holds !== undefined) this.#hold = holds.publishing
  }

  measure(): Measure {
    return {
      name: 'stop-publishing',
      carryOut: async ({ id }) => {
        if (this.#hold !== undefined) return `no checkpoints were signed since incident ${this.#hold.incident}`
        // First: whatever becomes of the file, this process signs nothing more.
        this.#hold = { incident: id, at: new Date(this.#nowMs()).toISOString() }
        await addHold(this.#dataDir, 'publishing', this.#hold).catch((cause: Error) => {
          this.#isUnwritten = true
          throw new Error(`no checkpoints are signed, but only until this server ends: ${cause.message}`, { cause })
        })
        return 'no checkpoints are signed until `dendrolog incident release`'
      },
    }
  }
}
