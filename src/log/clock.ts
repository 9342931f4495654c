import { LogIncident } from './incident.ts'

/** Microseconds since 1970. */
export type Clock = () => number

export const clockSkewMaxMicroseconds = 10_000_000

/**
 * A clock that can be set, beside one that nobody sets; both in milliseconds. Throws CLOCK_SKEW where the first is more
 * than 10 s away from where the second says it would be since this call: the database's may be the same clock, and jump
 * with it. After a correction of more than that, or when the host slept, start the server again.
 */
export function hostClock(readWallMs: () => number, readSteadyMs: () => number): Clock {
  const startedAt = { wallMs: readWallMs(), steadyMs: readSteadyMs() }
  return () => {
    const wallMs = readWallMs()
    const expectedMs = startedAt.wallMs + readSteadyMs() - startedAt.steadyMs
    if (Math.abs(wallMs - expectedMs) > clockSkewMaxMicroseconds / 1_000) {
      throw new LogIncident('CLOCK_SKEW', `the host's clock jumped by ${Math.round(wallMs - expectedMs)} ms`)
    }
    return wallMs * 1_000
  }
}

/** The host's clock since this process began. */
export const systemClock: Clock = hostClock(Date.now, () => performance.now())

/** The database's clock as read a while ago, carried on by a clock that nobody sets. */
export class DatabaseTime {
  #reading = { microseconds: 0, atMs: Number.NEGATIVE_INFINITY }

  /** Takes a reading of the database's clock, made now. */
  set(microseconds: number): void {
    this.#reading = { microseconds, atMs: performance.now() }
  }

  get ageMs(): number {
    return performance.now() - this.#reading.atMs
  }

  now(): number {
    return this.#reading.microseconds + Math.round(this.ageMs * 1_000)
  }
}

/** Throws CLOCK_SKEW where host and database are more than 10 s apart; both in microseconds since 1970. */
export function checkClocks(now: number, databaseNow: number): void {
  if (Math.abs(now - databaseNow) <= clockSkewMaxMicroseconds) return
  throw new LogIncident('CLOCK_SKEW', `clocks differ: host ${now} us, database ${databaseNow} us since 1970`)
}

/**
 * The timestamp of a batch taken at `now`: never before that of the newest entry. Throws CLOCK_SKEW where the host's
 * clock is more than 10 s away from the database's, or the newest entry is more than 10 s ahead of the host: one
 * reading of 2100 must not poison the log.
 */
export function batchTimestamp(now: number, databaseNow: number, newestTimestamp: number): number {
  checkClocks(now, databaseNow)
  if (newestTimestamp - now > clockSkewMaxMicroseconds) {
    throw new LogIncident('CLOCK_SKEW', `newest entry is of ${newestTimestamp} us since 1970, host clock says ${now}`)
  }
  return Math.max(now, newestTimestamp)
}
