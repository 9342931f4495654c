import { TlogError, type TlogErrorCode } from '../../tlog/errors.ts'
import type { IdentifiedEvent } from './event.ts'

// Four answers that must not be taken for each other: the server refuses for good, nobody could be asked, what was
// answered could not be checked, and what was answered is not so.

/** Where a refusal lies, as the server says it (RFC 9457). */
export type RefusalPlace = {
  /** JSON pointer of the offending member of what was sent. */
  readonly pointer: string | undefined
  /** Query or path parameter. */
  readonly parameter: string | undefined
}

/** The server refuses this request, and would refuse it again. */
export class Refused extends Error {
  readonly status: number
  /** Stable code of the server's problem document; `http-<status>` where the answer is none. */
  readonly code: string
  readonly detail: string
  readonly pointer: string | undefined
  readonly parameter: string | undefined

  constructor(status: number, code: string, detail: string, place: RefusalPlace) {
    super(`refused with ${status} ${code}: ${detail}`)
    this.name = 'Refused'
    this.status = status
    this.code = code
    this.detail = detail
    this.pointer = place.pointer
    this.parameter = place.parameter
  }
}

/** No answer that says anything, after all attempts: network, time-outs, 408, 425, 429 and 5xx but `entry-damaged`. */
export class Unavailable extends Error {
  /** The message without the number of attempts. */
  readonly reason: string
  readonly attempts: number
  /** Events that may or may not be logged: send exactly these again, with their ids. */
  readonly unsettled: readonly IdentifiedEvent[]

  constructor(reason: string, attempts: number, options: { cause?: unknown; unsettled?: readonly IdentifiedEvent[] }) {
    super(`${reason} (attempt ${attempts})`, { cause: options.cause })
    this.name = 'Unavailable'
    this.reason = reason
    this.attempts = attempts
    this.unsettled = options.unsettled ?? []
  }
}

export type CouldNotCheckCode =
  | TlogErrorCode
  | 'no-ed25519'
  | 'not-understood'
  | 'answer-too-large'
  | 'behind'
  | 'unreadable-state'
  | 'tile-mismatch'
  | 'payload-mismatch'
  | 'sth-mismatch'

/** There is an answer, and nothing is known of whether it holds. Not a violation. */
export class CouldNotCheck extends Error {
  readonly code: CouldNotCheckCode

  constructor(code: CouldNotCheckCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'CouldNotCheck'
    this.code = code
  }
}

/** Bytes as a server gave them, by their path. */
export type ServedFile = { readonly path: string; readonly bytes: Uint8Array }

/**
 * What is not signed by itself, and is not of the signed tree: tiles, leaves, payloads. Anybody on the way may have
 * spoilt it; a monitor that looks at all of them asks again past caches before it calls it a violation.
 */
export class ServedMismatch extends CouldNotCheck {
  readonly kind: 'TILE_MISMATCH' | 'LEAF_MISMATCH' | 'PAYLOAD_CORRUPT'
  /** As they were served. */
  readonly files: readonly ServedFile[]

  constructor(kind: ServedMismatch['kind'], message: string, files: readonly ServedFile[]) {
    super(kind === 'PAYLOAD_CORRUPT' ? 'payload-mismatch' : 'tile-mismatch', message)
    this.name = 'ServedMismatch'
    this.kind = kind
    this.files = files
  }
}

export type ViolationCode = TlogErrorCode | 'other-event'

/** What was answered is not what the log signed, or not what was sent. */
export class Violation extends Error {
  readonly code: ViolationCode
  /** The answer, as it was read. */
  readonly evidence: unknown

  constructor(code: ViolationCode, message: string, evidence: unknown, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'Violation'
    this.code = code
    this.evidence = evidence
  }
}

/** Errors that say nothing about the log of the key: no such format, a format to come, or signed by others. */
const couldNotCheckCodes: readonly TlogErrorCode[] = [
  ...(['malformed-json', 'json-not-strict', 'malformed-receipt', 'malformed-note', 'malformed-checkpoint'] as const),
  ...(['malformed-proof-file', 'unknown-leaf-format', 'malformed-key', 'unverified-note'] as const),
]

/** What an error of a check means for whoever asked for it; errors of other kinds stay as they are. */
export function judge(error: unknown, evidence: unknown): unknown {
  if (!(error instanceof TlogError)) return error
  if (couldNotCheckCodes.includes(error.code)) return new CouldNotCheck(error.code, error.message, { cause: error })
  return new Violation(error.code, error.message, evidence, { cause: error })
}

/** What `parse` makes of an answer; where it is not of its format nothing could be checked. */
export function unlessUnfit<T>(parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (cause instanceof TlogError) throw new CouldNotCheck(cause.code, cause.message, { cause })
    throw cause
  }
}
