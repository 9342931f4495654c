import { type Logger as PinoLogger, pino } from 'pino'

/** Structured logs, a JSON object a line on standard error. Never a payload, a token or a key. */
export type Logger = PinoLogger

export function createLogger(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2))
}
