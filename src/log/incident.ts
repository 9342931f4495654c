import { TlogError } from '../../tlog/errors.ts'

/** What the log found wrong with what it builds on. Codes are those of findings (DESIGN section 6). */
export type IncidentCode =
  | 'ROLLBACK'
  | 'FORKED'
  | 'FORGED_HEAD'
  | 'UNSEALED_ROWS'
  | 'ROOT_MISMATCH'
  | 'CLOCK_SKEW'
  | 'OUTCOME_UNKNOWN'
  | 'LOCKED'
  | 'LEAF_MISMATCH'
  | 'SEARCH_MISMATCH'
  | 'CONTAINED'

/**
 * The log cannot go on with the database as it is. Never retried blindly: whoever catches it stops sequencing, and
 * only a new look at head and cell may start it again.
 */
export class LogIncident extends Error {
  readonly code: IncidentCode
  /** Where it is about one entry, or several of which this is the first. */
  readonly sequenceNumber: number | undefined

  constructor(code: IncidentCode, message: string, options?: { cause?: unknown; sequenceNumber?: number }) {
    super(message, options)
    this.name = 'LogIncident'
    this.code = code
    this.sequenceNumber = options?.sequenceNumber
  }
}

/** Whether what was read is missing or wrong: with any other error it could not be looked at. */
export function isMismatch(error: unknown): boolean {
  return error instanceof TlogError || error instanceof RangeError
}

/** A submission could not be taken or its fate is not known; the client may send it again. */
export class Unavailable extends Error {
  readonly retryAfterSeconds: number

  constructor(message: string, retryAfterSeconds = 1, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'Unavailable'
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** Another server works on this log; this one stands by. */
export class NotLeader extends Unavailable {
  constructor() {
    super('another server takes submissions for this log; this one stands by and serves what is published')
    this.name = 'NotLeader'
  }
}
