import { CouldNotCheck, Unavailable } from './errors.ts'
import { type HttpAnswer, textOf } from './http.ts'
import { describeProblem, problemOf, problemTextMax } from './problem.ts'

/** How often and how long what may pass is tried again. */
export type RetryLimits = {
  /** Requests altogether, at least 1. */
  readonly attemptsMax: number
  /** The longest first pause; each further one may be twice as long. What `Retry-After` asks for comes before it. */
  readonly pauseMs: number
  /** The longest pause of all; who is told to come back later than that gives up instead. */
  readonly pauseMsMax: number
}

export const defaultRetryLimits: RetryLimits = { attemptsMax: 8, pauseMs: 250, pauseMsMax: 60_000 }

const transientStatuses: readonly number[] = [408, 425, 429, 500, 502, 503, 504]

/**
 * The first answer that is not the weather's. Each attempt must be the same request, harmless to repeat. Rejects with
 * `Unavailable` when attempts run out, with the reason of `signal` at once.
 */
export async function sendUntilAnswered(
  attempt: () => Promise<HttpAnswer>,
  { attemptsMax, pauseMs, pauseMsMax }: RetryLimits,
  signal: AbortSignal | undefined,
): Promise<HttpAnswer> {
  for (let tries = 1; ; tries++) {
    const outcome = await tryOnce(attempt, signal)
    if (outcome.kind === 'answer') return outcome.answer
    const { reason, cause, retryAfterMs } = outcome
    if (tries >= attemptsMax || retryAfterMs > pauseMsMax) throw new Unavailable(reason, tries, { cause })
    // On top of what is asked for, so that those who were sent away together do not come back together.
    await sleep(retryAfterMs + backOffMs(pauseMs, pauseMsMax, tries), signal)
  }
}

/** Milliseconds that `Retry-After` asks for, as seconds or as a date (RFC 9110 10.2.3); 0 where it says nothing. */
export function retryAfterMsOf(header: string | null, nowMs: number): number {
  if (header === null) return 0
  const ms = /^\d{1,9}$/.test(header) ? 1_000 * Number(header) : Date.parse(header) - nowMs
  return Number.isNaN(ms) ? 0 : Math.max(0, ms)
}

/** Resolves after `ms`; rejects with the reason of `signal` when that comes first. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

type Outcome =
  | { readonly kind: 'answer'; readonly answer: HttpAnswer }
  | { readonly kind: 'weather'; readonly reason: string; readonly cause: unknown; readonly retryAfterMs: number }

async function tryOnce(attempt: () => Promise<HttpAnswer>, signal: AbortSignal | undefined): Promise<Outcome> {
  try {
    const answer = await attempt()
    if (!mayPass(answer)) return { kind: 'answer', answer }
    const text = textOf(answer) ?? ''
    const reason =
      `the server answered ${answer.status} ${describeProblem(text) ?? text.slice(0, problemTextMax)}`.trim()
    const retryAfterMs = retryAfterMsOf(answer.headers.get('retry-after'), Date.now())
    return { kind: 'weather', reason, cause: undefined, retryAfterMs }
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof CouldNotCheck) throw cause
    return { kind: 'weather', reason: `no answer: ${describe(cause)}`, cause, retryAfterMs: 0 }
  }
}

/** Nothing mends an entry that was changed in the log's database: that is an answer, and not the weather. */
function mayPass(answer: HttpAnswer): boolean {
  return transientStatuses.includes(answer.status) && problemOf(answer).code !== 'entry-damaged'
}

/** Half of a pause that doubles, and the other half by chance. */
function backOffMs(first: number, max: number, tries: number): number {
  const full = Math.min(max, first * 2 ** (tries - 1))
  return full / 2 + (Math.random() * full) / 2
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
