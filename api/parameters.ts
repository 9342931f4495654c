import { parseDecimal } from '../tlog/coords.ts'
import { TlogError } from '../tlog/errors.ts'
import { Problem } from './problem.ts'

/** A decimal parameter, 0 to 2^53-1 in its one spelling; a Problem that names the parameter otherwise. */
export function readDecimal(text: string | undefined, parameter: string): number {
  if (text === undefined) throw new Problem('malformed-parameter', `${parameter}: is required`, { parameter })
  try {
    return parseDecimal(text, parameter)
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new Problem('malformed-parameter', `${error.message}, want a decimal number of 0 to 2^53-1`, { parameter })
  }
}
