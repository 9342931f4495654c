import type { ClientConfig } from 'pg'
import type { Schema } from '../store/batch.ts'
import { type LogLock, openLockCandidate } from '../store/log-lock.ts'
import { LogIncident } from './incident.ts'
import { waitForLeadership, waitForLock } from './standby.ts'

export type LeadershipOptions = {
  readonly standsBy: boolean
  readonly writer: ClientConfig
  readonly schema: Schema
  /** Whoever holds the lock for so long is another process, and not what is left of one that ended. */
  readonly lockWaitMs: number
  readonly standbyMs: number
  /** Serves what the leader has published meanwhile. */
  readonly follow: () => Promise<void>
  /** Told once each time that another server is found to have the lock. */
  readonly onStandby: () => void
  /** Told LOCKED where another server took a lock that this one had lost. */
  readonly onTaken: (incident: LogIncident) => void
}

/** The lock of the log, had or waited for. */
export class Leadership {
  readonly #options: LeadershipOptions
  #lock: LogLock | undefined
  /** When a lock of ours was lost, by `performance.now()`, until it is known who has it. */
  #lostAtMs: number | undefined

  /** `lock` where it was taken before. */
  constructor(options: LeadershipOptions, lock: LogLock | undefined) {
    this.#options = options
    this.#lock = lock
  }

  /**
   * The lock, when it is ours; undefined where `signal` aborts before. LOCKED where another process has it and this one
   * does not stand by.
   */
  async take(signal: AbortSignal): Promise<LogLock | undefined> {
    if (this.#lock?.lost.aborted === false) return this.#lock
    await this.release()
    const { standsBy, writer, schema, lockWaitMs } = this.#options
    this.#lock = await (standsBy ? this.#standBy(signal) : waitForLock(writer, schema, lockWaitMs, signal))
    this.#lostAtMs = undefined
    return this.#lock
  }

  async release(): Promise<void> {
    const lock = this.#lock
    this.#lock = undefined
    if (lock?.lost.aborted === true) this.#lostAtMs = performance.now()
    await lock?.release()
  }

  #standBy(signal: AbortSignal): Promise<LogLock | undefined> {
    const { writer, schema, follow, onStandby, standbyMs } = this.#options
    return waitForLeadership(
      {
        openCandidate: () => openLockCandidate(writer, schema),
        follow: async () => {
          await follow()
          this.#noteTaken()
        },
        onStandby,
        everyMs: standbyMs,
      },
      signal,
    )
  }

  /** After so long a session of our own that the database still knew has ended: what holds the lock is another server. */
  #noteTaken(): void {
    const lostAtMs = this.#lostAtMs
    if (lostAtMs === undefined || performance.now() - lostAtMs < this.#options.lockWaitMs) return
    this.#lostAtMs = undefined
    this.#options.onTaken(
      new LogIncident('LOCKED', 'another server took the lock of the log when this one had lost it'),
    )
  }
}
