import { Unavailable } from '../src/log/incident.ts'

/** Until when a request must be answered. */
export type Deadline = {
  /**
   * What `work` gives, or `Unavailable` with this reason when time is up; the work itself goes on. Does not wait for
   * long-lost answers: shippers give up after 30 s and send again.
   */
  readonly within: <T>(work: Promise<T>, reason: Reason) => Promise<T>
}

/** A text, or what has it when time is up. */
export type Reason = string | (() => string)

const restMinMs = 1_000

export function deadlineIn(ms: number): Deadline {
  const endMs = performance.now() + ms
  return { within: (work, reason) => race(work, restOf(endMs), reason) }
}

/** Whole seconds: Node keeps one list of timers for each length of time. */
function restOf(endMs: number): number {
  return Math.max(restMinMs, Math.ceil((endMs - performance.now()) / 1_000) * 1_000)
}

function race<T>(work: Promise<T>, ms: number, reason: Reason): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Unavailable(typeof reason === 'string' ? reason : reason(), 2)), ms)
    work.then(
      (result) => {
        clearTimeout(timer)
        resolve(result)
      },
      (error: unknown) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
