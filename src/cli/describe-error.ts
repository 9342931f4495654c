import type { UnknownSetting } from '../unknown-settings.ts'
import { visibleText } from './command.ts'

/** An error as one line. */
export function describeError(error: unknown): string {
  return oneLine(error instanceof Error ? reasonOf(error) : String(error))
}

/** Stack of an error and of what caused it: for whoever debugs. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? `${error.stack}` : `${error.stack}\ncaused by ${stackOf(error.cause)}`
}

/** A variable that is no setting, as a line; its value may be a secret. */
export function describeUnknown({ name, nearest }: UnknownSetting): string {
  const hint = nearest === undefined ? 'see `dendrolog config`' : `was ${nearest} meant?`
  return `${visibleText(name)} is no setting and is not read; ${hint}`
}

/** Of Node: what failed, where. */
export type SystemError = Error & {
  readonly code?: string
  readonly syscall?: string
  readonly path?: string
  readonly address?: string
  readonly port?: number
}

/** An AggregateError of several addresses has an empty message. */
export function reasonOf(error: SystemError): string {
  if (error.message !== '') return error.message
  const [first] = error instanceof AggregateError ? error.errors : []
  return first instanceof Error ? first.message : (error.code ?? error.name)
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' | ')
}
