/** An error as it is logged. */
export type ErrorDescription = {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  readonly cause?: ErrorDescription
}

const causesMax = 5
const withheld = '(withheld: it may quote a record)'

/**
 * What of an error may be logged. Records, tokens and keys must not be: of a PostgreSQL error `detail`, `where` and the
 * statement are left out, and the message too where it may quote values (SQLSTATE classes 22, data exceptions, and P0,
 * what a function raises); JSON.parse quotes what it could not read.
 */
export function describeError(error: unknown, causesLeft: number = causesMax): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: withheld }
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  const cause =
    error.cause === undefined || causesLeft === 0 ? {} : { cause: describeError(error.cause, causesLeft - 1) }
  return { type: error.name, message: loggableMessage(error), ...code, ...framesOf(error), ...cause }
}

/** The message alone, under the rules of `describeError`. */
export function loggableMessage(error: Error): string {
  const mayQuote = 'severity' in error && 'code' in error && /^(22|P0)/.test(String(error.code))
  return mayQuote || error instanceof SyntaxError ? withheld : error.message
}

/** A stack begins with name and message, which may have many lines. */
function framesOf({ stack }: Error): { readonly stack?: string } {
  const frames = stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  return frames.length === 0 ? {} : { stack: frames.map((frame) => frame.trim()).join('\n') }
}
