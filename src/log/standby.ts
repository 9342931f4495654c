import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientConfig } from 'pg'
import type { Schema } from '../store/batch.ts'
import { type LockCandidate, type LogLock, tryLogLock } from '../store/log-lock.ts'
import { DatabaseOutage } from '../store/outage.ts'
import { LogIncident } from './incident.ts'

const lockRetryMs = 250

export type StandbyOptions = {
  readonly openCandidate: () => Promise<LockCandidate>
  /** Serves what the leader has published meanwhile. */
  readonly follow: () => Promise<void>
  /** Told once, where another server has the lock. */
  readonly onStandby: () => void
  readonly everyMs: number
}

/**
 * Takes the lock of the log, at once where it is free; else stands by and follows what the leader publishes until it
 * is. Undefined where `signal` aborts before. Rejects where lock or checkpoints cannot be asked for.
 */
export async function waitForLeadership(options: StandbyOptions, signal: AbortSignal): Promise<LogLock | undefined> {
  const candidate = await options.openCandidate()
  try {
    for (let isStandby = false; !signal.aborted; isStandby = true) {
      const lock = await candidate.tryTake()
      if (lock !== undefined) return lock
      await options.follow()
      if (!isStandby) options.onStandby()
      await sleep(options.everyMs, undefined, { signal }).catch(() => {})
    }
    return undefined
  } finally {
    await candidate.close()
  }
}

/**
 * Takes the lock of a log that only one server may have; LOCKED where another has it for longer than `waitMs`.
 * Undefined where `signal` aborts before.
 */
export async function waitForLock(
  writer: ClientConfig,
  schema: Schema,
  waitMs: number,
  signal?: AbortSignal,
): Promise<LogLock | undefined> {
  for (const startedAt = performance.now(); signal?.aborted !== true; ) {
    const lock = await tryLogLock(writer, schema)
    if (lock !== undefined) return lock
    if (performance.now() - startedAt >= waitMs) {
      throw new LogIncident('LOCKED', `another process works on this log: ${oneAtATime}`)
    }
    await sleep(lockRetryMs, undefined, { signal }).catch(() => {})
  }
  return undefined
}

const oneAtATime = 'one server at a time, unless they share a signer state (README, Several servers)'

/**
 * Rejects when the lock is lost; never resolves. What is known then is that its connection has ended, as with a restart
 * of the database: whether another server has the lock is seen when it is asked for again.
 */
export function untilLost({ lost }: LogLock, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(new DatabaseOutage('the connection that held the lock of the log has ended'))
    if (lost.aborted) fail()
    lost.addEventListener('abort', fail, { once: true, signal })
  })
}
