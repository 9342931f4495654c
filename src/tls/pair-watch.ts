import { setTimeout as sleep } from 'node:timers/promises'
import { type KeyPair, type PairFiles, readKeyPair } from './key-pair.ts'

const lookEveryMs = 5_000
const dayMs = 86_400_000
const warnBeforeMs = 14 * dayMs

export type PairWatchOptions = {
  readonly files: PairFiles
  /** Given each new pair. */
  readonly onChanged: (pair: KeyPair) => void
  /** Told, once a reason, why what the files hold now is not used. */
  readonly onRefused: (error: unknown) => void
  /** Told once a day from 14 days before a certificate expires, and after it has. */
  readonly onExpiring: (pair: KeyPair) => void
  /** Unix time, milliseconds. */
  readonly now: () => number
  readonly everyMs?: number
}

/**
 * Looks at the files of a pair every 5 s, and at once when it is woken. A new pair is taken when it fits; one that
 * does not, half of a renewal for example, leaves the old one in use.
 */
export class PairWatch {
  readonly #options: PairWatchOptions
  #pair: KeyPair
  #refused: string | undefined
  #warnedAtMs = Number.NEGATIVE_INFINITY
  #woken = new AbortController()

  constructor(pair: KeyPair, options: PairWatchOptions) {
    this.#pair = pair
    this.#options = options
  }

  /** The pair in use. */
  get pair(): KeyPair {
    return this.#pair
  }

  /** Looks now, and tells again what is refused. */
  wake(): void {
    this.#refused = undefined
    this.#woken.abort()
  }

  /** Watches until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#warnOfExpiry()
      const wakened = AbortSignal.any([signal, this.#woken.signal])
      await sleep(this.#options.everyMs ?? lookEveryMs, undefined, { signal: wakened }).catch(() => {})
      if (this.#woken.signal.aborted) this.#woken = new AbortController()
      if (!signal.aborted) await this.#look()
    }
  }

  async #look(): Promise<void> {
    const { files, onChanged, onRefused } = this.#options
    try {
      const pair = await readKeyPair(files)
      this.#refused = undefined
      if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) return
      onChanged(pair)
      this.#pair = pair
      this.#warnedAtMs = Number.NEGATIVE_INFINITY
    } catch (error) {
      if (String(error) !== this.#refused) onRefused(error)
      this.#refused = String(error)
    }
  }

  #warnOfExpiry(): void {
    const now = this.#options.now()
    if (this.#pair.expiresAtMs - now > warnBeforeMs || now - this.#warnedAtMs < dayMs) return
    this.#warnedAtMs = now
    this.#options.onExpiring(this.#pair)
  }
}
