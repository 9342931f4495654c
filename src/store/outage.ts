/** The database could not be asked: no connection, none in time, or too many statements that wait for one. */
export class DatabaseOutage extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'DatabaseOutage'
  }
}

/**
 * SQLSTATEs of what passes: connection exceptions, logins and databases that are refused, too many connections, the
 * server or somebody ending sessions and statements (PostgreSQL documentation, appendix A).
 */
const passing = /^(08|28|3D|53|57|55000)/

/** Whether the database is away for now, so that the same may be tried again; false where the question itself was bad. */
export function isOutage(error: unknown): boolean {
  // Several addresses of one host were tried.
  if (error instanceof DatabaseOutage || error instanceof AggregateError) return true
  if (!(error instanceof Error) || !('code' in error)) return false
  return 'severity' in error ? passing.test(String(error.code)) : 'syscall' in error
}

/** The driver tells of lost connections and of its own time-outs in plain errors, which say nothing but their text. */
export function namedOutage(error: unknown): unknown {
  const isPlain = error instanceof Error && error.constructor === Error && !('code' in error)
  return isPlain ? new DatabaseOutage(error.message, { cause: error }) : error
}

/** SQLSTATEs of files that are not what the database wrote: data or an index corrupted, an error of input or output. */
const damage = /^(XX|58)/

/** Whether the database could not read what it has stored. */
export function isDamage(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && damage.test(String(error.code))
}
