import { type Logger as PinoLogger, pino } from 'pino'
import { describeError } from './describe-error.ts'

/** Structured logs, a JSON object a line on standard error. Never a payload, a token or a key. */
export type Logger = PinoLogger

export function createLogger(level: string, destination: pino.DestinationStream = pino.destination(2)): Logger {
  const serializers = { err: (error: unknown) => describeError(error) }
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers }, destination)
}
