import type { Context } from 'hono'
import { Unavailable } from '../src/log/incident.ts'
import { TlogError, type TlogErrorCode } from '../tlog/errors.ts'

/** What goes wrong at the door itself; everything else brings its own code. */
export type ProblemCode =
  | TlogErrorCode
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'body-too-large'
  | 'too-many-records'
  | 'unsupported-media-type'
  | 'unsupported-encoding'
  | 'malformed-encoding'
  | 'malformed-parameter'
  | 'idempotency-conflict'
  | 'not-published'
  | 'no-witnesses'
  | 'unavailable'
  | 'internal'

const statuses: Partial<Record<ProblemCode, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'not-published': 404,
  'method-not-allowed': 405,
  'idempotency-conflict': 409,
  'body-too-large': 413,
  'too-many-records': 413,
  'unsupported-media-type': 415,
  'unsupported-encoding': 415,
  unavailable: 503,
  internal: 503,
}

/** A refusal that a handler makes. `parameter` names a query or path parameter, `pointer` a member of the body. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly parameter: string | undefined
  readonly pointer: string | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: ProblemCode,
    detail: string,
    place: { parameter?: string; pointer?: string; retryAfterSeconds?: number } = {},
  ) {
    super(detail)
    this.name = 'Problem'
    this.code = code
    this.parameter = place.parameter
    this.pointer = place.pointer
    this.retryAfterSeconds = place.retryAfterSeconds
  }
}

/** The answer to an error, RFC 9457. A bug or the weather is 503, never 500: shippers drop what they get a 500 for. */
export function problemResponse(c: Context, error: unknown, onUnexpected: (error: unknown) => void): Response {
  const problem = problemOf(error, onUnexpected)
  const status = statuses[problem.code] ?? 400
  const body = {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    code: problem.code,
    detail: problem.message,
    ...(problem.pointer === undefined ? {} : { pointer: problem.pointer }),
    ...(problem.parameter === undefined ? {} : { parameter: problem.parameter }),
  }
  const headers: Record<string, string> = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' }
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  if (problem.retryAfterSeconds !== undefined) headers['retry-after'] = String(problem.retryAfterSeconds)
  return c.body(JSON.stringify(body), status as 400, headers)
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  503: 'Service Unavailable',
}

function problemOf(error: unknown, onUnexpected: (error: unknown) => void): Problem {
  if (error instanceof Problem) return error
  if (error instanceof TlogError) {
    return new Problem(error.code, error.message, error.pointer === undefined ? {} : { pointer: error.pointer })
  }
  if (error instanceof Unavailable) {
    return new Problem('unavailable', error.message, { retryAfterSeconds: jittered(error.retryAfterSeconds) })
  }
  onUnexpected(error)
  return new Problem('internal', 'the server could not do this now', { retryAfterSeconds: jittered(2) })
}

/** Up to twice the time, so that those who were sent away together do not come back together. */
function jittered(seconds: number): number {
  return Math.ceil(seconds * (1 + Math.random()))
}
