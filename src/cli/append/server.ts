import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { describeProblem, membersOf } from '../../client/problem.ts'
import { adviceOn, isDistrust, type ServerPlace } from '../server-fetch.ts'

/** The server that records are sent to. */
export type Target = ServerPlace & {
  readonly token: string
  readonly isGzipped: boolean
  /** So long a request is tried again before the run gives up, milliseconds. */
  readonly retryMs: number
  /** So long as long as nothing at all has answered: then it is more likely that nobody is there. */
  readonly unreachedMs: number
  /** Told before each pause. */
  readonly onWait: (reason: string, pauseMs: number) => void
}

/** What a server says of its log. */
export type LogAnswer = {
  readonly origin: string
  readonly bodyBytes: number
  /** Records of a request, so that each that is refused is listed in its answer. */
  readonly records: number
}

/** What became of a request. Indexes are the least and the greatest of entries made or found. */
export type PostAnswer = {
  readonly accepted: number
  readonly duplicates: number
  readonly firstIndex: number | null
  readonly lastIndex: number | null
  readonly refused: readonly RefusedRecord[]
}

export type RefusedRecord = {
  /** Place in the request, from 0. */
  readonly i: number
  readonly code: string
  readonly detail: string
  readonly pointer: string | undefined
}

const requestMs = 60_000
const pauseMinMs = 250
const pauseMaxMs = 30_000
const transientStatuses = [408, 425, 429, 500, 502, 503, 504]
const compress = promisify(gzip)

/** Asks for name and limits of the log. */
export async function readLog(target: Target, signal: AbortSignal): Promise<LogAnswer> {
  const { status, text } = await request(target, 'v1/log', {}, target.unreachedMs, signal)
  if (status !== 200) throw refusal(target, status, text)
  const { origin, limits } = parseObject(target, text)
  const { bodyBytes, records, refusedListed } = (limits ?? {}) as Readonly<Record<string, unknown>>
  if (typeof origin !== 'string' || !isCount(bodyBytes) || !isCount(records)) throw notUnderstood(target)
  return { origin, bodyBytes, records: isCount(refusedListed) ? Math.min(records, refusedListed) : records }
}

/** Sends records (NDJSON lines) until they are answered; undefined where the server says that they are too many. */
export async function postRecords(
  target: Target,
  records: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<PostAnswer | undefined> {
  const plain = Buffer.concat(records)
  const body = target.isGzipped ? await compress(plain, { level: 1 }) : plain
  const headers = {
    authorization: `Bearer ${target.token}`,
    'content-type': 'application/x-ndjson',
    ...(target.isGzipped ? { 'content-encoding': 'gzip' } : {}),
  }
  const { status, text } = await request(
    target,
    'v1/entries',
    { method: 'POST', headers, body },
    target.retryMs,
    signal,
  )
  if (status === 413) return undefined
  if (status !== 200) throw refusal(target, status, text)
  return parseAnswer(target, text, records.length)
}

type Answer = { readonly status: number; readonly text: string }

/**
 * The first answer that is not the weather's. Every attempt is the same request: ids make it safe to repeat. Where none
 * is answered it gives up after `unansweredMs`.
 */
async function request(
  target: Target,
  path: string,
  init: RequestInit,
  unansweredMs: number,
  signal: AbortSignal,
): Promise<Answer> {
  const beganAt = performance.now()
  let patienceMs = unansweredMs
  for (let tries = 0; ; tries++) {
    const answer = await attempt(target, path, init, signal)
    if (!('reason' in answer)) return answer
    const pauseMs = answer.retryAfterMs ?? backOffMs(tries)
    if (answer.isAnswered) patienceMs = target.retryMs
    if (performance.now() + pauseMs > beganAt + patienceMs) {
      throw new Error(`${target.url.origin}: ${answer.reason}; gave up after ${tries + 1} tries`)
    }
    target.onWait(`${target.url.origin}: ${answer.reason}`, pauseMs)
    await sleep(pauseMs, undefined, { signal })
  }
}

type Failure = {
  readonly reason: string
  readonly retryAfterMs: number | undefined
  /** Somebody is there. */
  readonly isAnswered: boolean
}

async function attempt(
  { url, fetch }: Target,
  path: string,
  init: RequestInit,
  signal: AbortSignal,
): Promise<Answer | Failure> {
  try {
    // A redirect would take the token along to who knows where.
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(requestMs)])
    const response = await fetch(new URL(path, url), { ...init, redirect: 'manual', signal: deadline })
    const text = await response.text()
    if (!transientStatuses.includes(response.status)) return { status: response.status, text }
    const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'))
    return { reason: weatherReason(response.status, text), retryAfterMs, isAnswered: true }
  } catch (error) {
    signal.throwIfAborted()
    if (isDistrust(error)) throw new Error(`${url.origin}: ${networkReason(error)}; see --ca`, { cause: error })
    const reason = `${networkReason(error)}${adviceOn(error, url)}`
    return { reason, retryAfterMs: undefined, isAnswered: false }
  }
}

/** Twice as long each time, half of it by chance, so that many who wait do not come back together. */
function backOffMs(tries: number): number {
  const full = Math.min(pauseMaxMs, pauseMinMs * 2 ** tries)
  return full / 2 + (Math.random() * full) / 2
}

/** Seconds, or a date; RFC 9110 10.2.3. */
function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined
  const ms = /^\d{1,6}$/.test(value) ? 1_000 * Number(value) : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

function weatherReason(status: number, text: string): string {
  const { code } = membersOf(text)
  return code === 'not-leader' ? 'not-leader: this server stands by' : `${status} ${describeProblem(text) ?? ''}`.trim()
}

function networkReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `no answer within ${requestMs / 1_000} s`
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  return `no connection (${(cause as { code?: string }).code ?? cause.message})`
}

function refusal({ url }: Target, status: number, text: string): Error {
  const advice = { 401: '; see --token-file', 403: '; want the token of a writer' }[status] ?? ''
  return new Error(`${url.origin} answered ${status} ${describeProblem(text) ?? ''}${advice}`)
}

/** An answer must account for each record, or nothing is known of any. */
function parseAnswer(target: Target, text: string, recordCount: number): PostAnswer {
  const { accepted, duplicates, quarantined, firstIndex, lastIndex, results } = parseObject(target, text)
  const isWhole = isCount(accepted) && isCount(duplicates) && isCount(quarantined) && Array.isArray(results)
  if (!isWhole || accepted + duplicates + quarantined !== recordCount) throw notUnderstood(target)
  const indexes = [firstIndex, lastIndex].filter(isCount)
  const refused: RefusedRecord[] = []
  for (const { i, status, code, detail, pointer, sequenceNumber } of results as Readonly<Record<string, unknown>>[]) {
    if (!isCount(i) || i >= recordCount) throw notUnderstood(target)
    if (status === 'duplicate' && isCount(sequenceNumber)) indexes.push(sequenceNumber - 1)
    const place = typeof pointer === 'string' ? pointer : undefined
    if (status !== 'duplicate') refused.push({ i, code: String(code), detail: String(detail), pointer: place })
  }
  if (refused.length !== quarantined) throw notUnderstood(target)
  return { accepted, duplicates, refused, firstIndex: least(indexes), lastIndex: greatest(indexes) }
}

/** Not Math.min(...): a batch may have more records than a call may have arguments. */
export function least(numbers: readonly number[]): number | null {
  return numbers.reduce<number | null>((found, n) => (found === null || n < found ? n : found), null)
}

export function greatest(numbers: readonly number[]): number | null {
  return numbers.reduce<number | null>((found, n) => (found === null || n > found ? n : found), null)
}

function parseObject(target: Target, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  } catch {
    // Falls through: it is no answer of ours either way.
  }
  throw notUnderstood(target)
}

function notUnderstood({ url }: Target): Error {
  return new Error(`${url.origin}: the answer is not that of a dendrolog server; correct --url`)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
