import { setTimeout as sleep } from 'node:timers/promises'

/** Works behind the published log, from a position that it keeps itself. */
export type Follower = {
  readonly name: string
  /** Where it stands: how many entries it has done. */
  readonly readPosition: () => Promise<number>
  /** Does some of what is next, nothing above `upTo`. */
  readonly step: (upTo: number) => Promise<Step>
}

/** Where a follower stands after a step, and whether there was anything to do: work need not bring it further. */
export type Step = { readonly position: number; readonly hasWorked: boolean }

export type FollowOptions = {
  readonly publishedSize: () => number
  /** Told of each failure; the step is tried again. */
  readonly onFailed: (name: string, error: unknown) => void
  readonly timing?: Partial<FollowTiming>
}

export type FollowTiming = {
  /** Between looks at a log that has nothing new. */
  readonly idleMs: number
  /** After the first failure; twice as long after each further one, up to `retryMaxMs`. */
  readonly retryMs: number
  readonly retryMaxMs: number
  /** Entries a second from which the log is busy. */
  readonly busyRate: number
  /** While the log is busy a step is followed by so many times its own time of rest: ingestion goes before. */
  readonly restWhileBusy: number
  /** More than `behindMax` entries behind, it rests less: what is put off has to be done. */
  readonly restFarBehind: number
  readonly behindMax: number
}

const defaultTiming: FollowTiming = {
  idleMs: 200,
  retryMs: 500,
  retryMaxMs: 30_000,
  busyRate: 2_000,
  restWhileBusy: 56,
  restFarBehind: 4,
  behindMax: 524_288,
}

/** The loop that runs a follower. Its failures are its own: nothing of the log waits for it. */
export class Following {
  readonly #follower: Follower
  readonly #options: FollowOptions
  readonly #timing: FollowTiming
  #position: number | undefined
  /** Whether the position is as the follower keeps it: another server may follow too. */
  #isCurrent = false
  #hasWorked = false
  #failures = 0

  constructor(follower: Follower, options: FollowOptions) {
    this.#follower = follower
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
  }

  /** How many entries are done, or more; undefined before the first look. */
  get position(): number | undefined {
    return this.#position
  }

  /** Follows until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
    while (!signal.aborted) {
      const size = this.#options.publishedSize()
      const startedAt = performance.now()
      const isIdle = !this.#hasWorked && this.#position !== undefined && this.#position >= size
      if (!isIdle && !(await this.#tryStep(size))) await pause(this.#retryMs())
      // A step that found nothing may find nothing again: in a database that has less than was published, say.
      else if (isIdle || !this.#hasWorked) await pause(this.#timing.idleMs)
      else await this.#rest(size, performance.now() - startedAt, pause)
    }
  }

  async #tryStep(size: number): Promise<boolean> {
    try {
      if (!this.#isCurrent) this.#position = await this.#follower.readPosition()
      this.#isCurrent = true
      const { position, hasWorked } = await this.#follower.step(size)
      this.#position = position
      this.#hasWorked = hasWorked
      this.#failures = 0
      return true
    } catch (error) {
      this.#failures++
      this.#isCurrent = false
      this.#options.onFailed(this.#follower.name, error)
      return false
    }
  }

  /** After a step of `tookMs`, when `size` was published before; no longer than the log is busy. */
  async #rest(size: number, tookMs: number, pause: (ms: number) => Promise<void>): Promise<void> {
    const { idleMs, busyRate, restWhileBusy, restFarBehind, behindMax } = this.#timing
    const isFarBehind = size - (this.#position ?? 0) > behindMax
    const restMs = (isFarBehind ? restFarBehind : restWhileBusy) * tookMs
    let [before, passedMs] = [size, tookMs]
    for (let restedMs = 0; restedMs < restMs; restedMs += idleMs) {
      const now = this.#options.publishedSize()
      if ((now - before) * 1_000 <= busyRate * passedMs) return
      await pause(Math.min(idleMs, restMs - restedMs))
      before = now
      passedMs = idleMs
    }
  }

  #retryMs(): number {
    const { retryMs, retryMaxMs } = this.#timing
    return Math.min(retryMaxMs, retryMs * 2 ** (this.#failures - 1))
  }
}
