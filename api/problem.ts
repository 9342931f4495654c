import type { Context } from 'hono'
import { routePath } from 'hono/route'
import { TokenRefusal, type TokenRefusalCode } from '../src/auth/token-office.ts'
import { IncidentRefusal } from '../src/incident/incident-office.ts'
import type { Reason } from '../src/ingest/quarantine.ts'
import { TooManyRecords } from '../src/ingest/records.ts'
import { NotLeader, Unavailable } from '../src/log/incident.ts'
import { DamagedEntry } from '../src/store/damaged-entry.ts'
import { isOutage } from '../src/store/outage.ts'
import { TlogError, type TlogErrorCode } from '../tlog/errors.ts'
import { chooseType } from './accept.ts'
import { cborOfJson, cborType } from './cbor.ts'
import type { Env } from './env.ts'
import { headerOf } from './header.ts'
import { newRequestId, requestIdOf } from './request-id.ts'
import type { OnUnexpected, ProblemTellers } from './tellers.ts'

/** What is wrong with bytes from outside. Every other TlogError is about what we hold ourselves. */
type InputCode = Extract<
  TlogErrorCode,
  'malformed-json' | 'malformed-cbor' | 'json-not-strict' | 'malformed-submission'
>

const inputCodes: ReadonlySet<TlogErrorCode> = new Set<InputCode>([
  'malformed-json',
  'malformed-cbor',
  'json-not-strict',
  'malformed-submission',
])

const problemType = 'application/problem+json'

export type ProblemCode =
  | InputCode
  | TokenRefusalCode
  | IncidentRefusal['code']
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'not-acceptable'
  | 'body-too-large'
  | 'body-timeout'
  | 'body-incomplete'
  | 'too-many-records'
  | 'unsupported-media-type'
  | 'unsupported-encoding'
  | 'malformed-encoding'
  | 'malformed-parameter'
  | 'malformed-body'
  | 'malformed-request'
  | 'headers-too-large'
  | 'expectation-failed'
  | 'request-timeout'
  | 'idempotency-conflict'
  | 'not-published'
  | 'no-witnesses'
  | 'no-receipt'
  | 'rate-limited'
  | 'not-leader'
  | 'unavailable'
  | 'check-failed'
  | 'entry-damaged'
  | 'internal'

/** 400 where nothing stands. A body that is too slow is 503, since shippers drop what they get a 408 or 400 for. */
const statuses: Partial<Record<ProblemCode, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'not-published': 404,
  'no-receipt': 404,
  'no-such-token': 404,
  'no-such-incident': 404,
  'method-not-allowed': 405,
  'not-acceptable': 406,
  'request-timeout': 408,
  'idempotency-conflict': 409,
  'name-taken': 409,
  'too-many-tokens': 409,
  'last-admin': 409,
  'token-ended': 409,
  'body-too-large': 413,
  'too-many-records': 413,
  'unsupported-media-type': 415,
  'unsupported-encoding': 415,
  'expectation-failed': 417,
  'rate-limited': 429,
  'headers-too-large': 431,
  'body-timeout': 503,
  'not-leader': 503,
  unavailable: 503,
  'check-failed': 503,
  internal: 503,
  'entry-damaged': 500,
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** Where a problem lies, and what its answer says beside the document. */
export type ProblemPlace = {
  /** Query or path parameter. */
  readonly parameter?: string
  /** JSON pointer of a member of the body. */
  readonly pointer?: string
  /** Of the entry that is the trouble. */
  readonly sequenceNumber?: number
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

/** An answer that is not bound to a framework: some are needed before there is a request. */
export type ProblemAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a problem is answered with. */
export function statusOf(code: ProblemCode): number {
  return statuses[code] ?? 400
}

/**
 * The answer to an error, RFC 9457. A bug or the weather is 503, not 500: shippers drop what they get a 500 for. Only
 * who reads gets one, for an entry that no later attempt will find in order.
 */
export function problemResponse(c: Context<Env>, error: unknown, tellers: ProblemTellers): Response {
  const requestId = requestIdOf(c)
  const problem = problemOf(error, c.req.method, requestId, tellers.onUnexpected)
  tellers.metrics.problems.inc({ code: problem.code })
  const { status, headers, body } = formatProblem(problem, requestId)
  tellers.onRefused({ requestId, code: problem.code, status, method: c.req.method, route: routePath(c) })
  if (!prefersCbor(c)) return c.body(body, status as 400, { ...headers })
  return c.body(cborOfJson(body), status as 400, { ...headers, 'content-type': cborType })
}

/** Whoever takes neither gets JSON. */
function prefersCbor(c: Context<Env>): boolean {
  const accept = headerOf(c, 'accept')
  return accept !== undefined && chooseType(accept, [problemType, 'application/json', cborType]) === cborType
}

export function formatProblem(problem: Problem, requestId: string = newRequestId()): ProblemAnswer {
  const status = statusOf(problem.code)
  const { pointer, parameter, sequenceNumber, retryAfterSeconds } = problem.place
  const document = {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    code: problem.code,
    detail: problem.message,
    ...(pointer === undefined ? {} : { pointer }),
    ...(parameter === undefined ? {} : { parameter }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    requestId,
  }
  const headers = {
    'content-type': problemType,
    'cache-control': 'no-store',
    'x-request-id': requestId,
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': retryAfterText(retryAfterSeconds) }),
    ...problem.place.headers,
  }
  return { status, headers, body: JSON.stringify(document) }
}

/** What is wrong with a record that is refused for what it says; undefined where an error is about something else. */
export function refusalOf(error: unknown): Reason | undefined {
  if (error instanceof TlogError && isInputCode(error.code)) {
    return { code: error.code, detail: error.message, pointer: error.pointer }
  }
  if (!(error instanceof Problem) || error.code !== 'idempotency-conflict') return undefined
  return { code: error.code, detail: error.message, pointer: error.place.pointer }
}

function problemOf(error: unknown, method: string, requestId: string, onUnexpected: OnUnexpected): Problem {
  if (error instanceof Problem) return error
  if (error instanceof TokenRefusal || error instanceof IncidentRefusal) return new Problem(error.code, error.message)
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
  if (error instanceof DamagedEntry) return damagedEntry(error, method)
  if (error instanceof TlogError) {
    return new Problem('check-failed', 'what the server holds does not pass its own check and is not served', place)
  }
  return new Problem('internal', 'the server could not do this now', place)
}

/** What the entry says now is not told: it is not what was signed. */
function damagedEntry({ sequenceNumber }: DamagedEntry, method: string): Problem {
  const detail =
    `entry ${sequenceNumber} is not served: the server's database does not hold it as the log signed it; it was ` +
    'changed or removed after it was logged'
  if (method === 'GET' || method === 'HEAD') return new Problem('entry-damaged', detail, { sequenceNumber })
  return new Problem('check-failed', detail, { sequenceNumber, retryAfterSeconds: 2 })
}

function isInputCode(code: TlogErrorCode): code is InputCode {
  return inputCodes.has(code)
}

/** Value of Retry-After: up to twice the time, so that those who were sent away together do not come back together. */
export function retryAfterText(seconds: number): string {
  return String(Math.ceil(seconds * (1 + Math.random())))
}
