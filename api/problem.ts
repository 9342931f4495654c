import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import type { Reason } from '../src/ingest/quarantine.ts'
import { TooManyRecords } from '../src/ingest/records.ts'
import { NotLeader, Unavailable } from '../src/log/incident.ts'
import type { Metrics } from '../src/ops/metrics.ts'
import { isOutage } from '../src/store/outage.ts'
import { TlogError, type TlogErrorCode } from '../tlog/errors.ts'

/** What is wrong with bytes from outside. Every other TlogError is about what we hold ourselves. */
type InputCode = Extract<TlogErrorCode, 'malformed-json' | 'json-not-strict' | 'malformed-submission'>

const inputCodes: ReadonlySet<TlogErrorCode> = new Set<InputCode>([
  'malformed-json',
  'json-not-strict',
  'malformed-submission',
])

export type ProblemCode =
  | InputCode
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'body-too-large'
  | 'body-timeout'
  | 'body-incomplete'
  | 'too-many-records'
  | 'unsupported-media-type'
  | 'unsupported-encoding'
  | 'malformed-encoding'
  | 'malformed-parameter'
  | 'malformed-request'
  | 'headers-too-large'
  | 'expectation-failed'
  | 'request-timeout'
  | 'idempotency-conflict'
  | 'not-published'
  | 'no-witnesses'
  | 'not-leader'
  | 'unavailable'
  | 'check-failed'
  | 'internal'

/** 400 where nothing stands. A body that is too slow is 503, since shippers drop what they get a 408 or 400 for. */
const statuses: Partial<Record<ProblemCode, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'not-published': 404,
  'method-not-allowed': 405,
  'request-timeout': 408,
  'idempotency-conflict': 409,
  'body-too-large': 413,
  'too-many-records': 413,
  'unsupported-media-type': 415,
  'unsupported-encoding': 415,
  'expectation-failed': 417,
  'headers-too-large': 431,
  'body-timeout': 503,
  'not-leader': 503,
  unavailable: 503,
  'check-failed': 503,
  internal: 503,
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
}

/** Where a problem lies, and what its answer says beside the document. */
export type ProblemPlace = {
  /** Query or path parameter. */
  readonly parameter?: string
  /** JSON pointer of a member of the body. */
  readonly pointer?: string
  readonly retryAfterSeconds?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** A refusal that a handler makes. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly place: ProblemPlace

  constructor(code: ProblemCode, detail: string, place: ProblemPlace = {}) {
    super(detail)
    this.name = 'Problem'
    this.code = code
    this.place = place
  }
}

/** Told of what a handler did not expect, with the id by which the client knows the request. */
export type OnUnexpected = (error: unknown, requestId: string) => void

/** Those who are told of problems. */
export type ProblemTellers = { readonly onUnexpected: OnUnexpected; readonly metrics: Pick<Metrics, 'problems'> }

/** An answer that is not bound to a framework: some are needed before there is a request. */
export type ProblemAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The answer to an error, RFC 9457. A bug or the weather is 503, never 500: shippers drop what they get a 500 for. */
export function problemResponse(c: Context, error: unknown, { onUnexpected, metrics }: ProblemTellers): Response {
  const requestId = requestIdOf(c.req.header('x-request-id'))
  const problem = problemOf(error, requestId, onUnexpected)
  metrics.problems.inc({ code: problem.code })
  const { status, headers, body } = formatProblem(problem, requestId)
  return c.body(body, status as 400, { ...headers })
}

export function formatProblem(problem: Problem, requestId: string = randomUUID()): ProblemAnswer {
  const status = statuses[problem.code] ?? 400
  const { pointer, parameter, retryAfterSeconds } = problem.place
  const document = {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    code: problem.code,
    detail: problem.message,
    ...(pointer === undefined ? {} : { pointer }),
    ...(parameter === undefined ? {} : { parameter }),
  }
  const headers = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'x-request-id': requestId,
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(jittered(retryAfterSeconds)) }),
    ...problem.place.headers,
  }
  return { status, headers, body: JSON.stringify(document) }
}

/** The client's id where it is one that can stand in logs. */
function requestIdOf(sent: string | undefined): string {
  return sent !== undefined && /^[\w.:-]{1,128}$/.test(sent) ? sent : randomUUID()
}

/** What is wrong with a record that is refused for what it says; undefined where an error is about something else. */
export function refusalOf(error: unknown): Reason | undefined {
  if (error instanceof TlogError && isInputCode(error.code)) {
    return { code: error.code, detail: error.message, pointer: error.pointer }
  }
  if (!(error instanceof Problem) || error.code !== 'idempotency-conflict') return undefined
  return { code: error.code, detail: error.message, pointer: error.place.pointer }
}

function problemOf(error: unknown, requestId: string, onUnexpected: OnUnexpected): Problem {
  if (error instanceof Problem) return error
  if (error instanceof TooManyRecords) return new Problem('too-many-records', error.message)
  // Not later: who takes over does so within a second or two, and a proxy may have the leader behind it already.
  if (error instanceof NotLeader) return new Problem('not-leader', error.message, { headers: { 'retry-after': '1' } })
  if (error instanceof Unavailable) {
    return new Problem('unavailable', error.message, { retryAfterSeconds: error.retryAfterSeconds })
  }
  if (error instanceof TlogError && isInputCode(error.code)) {
    return new Problem(error.code, error.message, error.pointer === undefined ? {} : { pointer: error.pointer })
  }
  onUnexpected(error, requestId)
  const place = { retryAfterSeconds: 2 }
  if (isOutage(error)) return new Problem('unavailable', 'the database cannot be asked now', place)
  if (error instanceof TlogError) {
    return new Problem('check-failed', 'what the server holds does not pass its own check and is not served', place)
  }
  return new Problem('internal', 'the server could not do this now', place)
}

function isInputCode(code: TlogErrorCode): code is InputCode {
  return inputCodes.has(code)
}

/** Up to twice the time, so that those who were sent away together do not come back together. */
function jittered(seconds: number): number {
  return Math.ceil(seconds * (1 + Math.random()))
}
