import type { Context } from 'hono'
import { parseDecimal } from '../tlog/coords.ts'
import { TlogError } from '../tlog/errors.ts'
import { Problem } from './problem.ts'

/** A decimal parameter, 0 to 2^53-1 in its one spelling; a Problem that names the parameter otherwise. */
export function readDecimal(text: string | undefined, parameter: string): number {
  if (text === undefined) throw malformed(parameter, 'is required')
  try {
    return parseDecimal(text, parameter)
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new Problem('malformed-parameter', `${error.message}, want a decimal number of 0 to 2^53-1`, { parameter })
  }
}

/** A query parameter, undefined where it is absent; given twice it is refused: nobody can tell which one counts. */
export function readQuery(c: Context, parameter: string): string | undefined {
  const [value, second] = c.req.queries(parameter) ?? []
  if (second !== undefined) throw malformed(parameter, 'is given twice')
  return value
}

/**
 * Refuses query parameters that a path does not know, since a misspelt one would be ignored in silence, and escapes that
 * are not UTF-8, since they would be taken for the text of the escapes. Free where there is no query.
 */
export function checkQuery(c: Context, known: readonly string[]): void {
  const { url } = c.req
  const query = url.indexOf('?')
  if (query < 0) return
  const unknown = Object.keys(c.req.queries()).find((parameter) => !known.includes(parameter))
  if (unknown === undefined) {
    checkEscapes(url.slice(query + 1))
    return
  }
  const want = known.length === 0 ? 'none is known here' : `want ${known.join(' or ')}`
  throw malformed(unknown.slice(0, 80), `is not a query parameter of this path: ${want}`)
}

function checkEscapes(query: string): void {
  if (!query.includes('%')) return
  for (const part of query.split('&')) {
    const [name = ''] = part.split('=', 1)
    if (!isEscapedUtf8(part)) throw malformed(name.slice(0, 80), 'is not UTF-8, percent-encoded')
  }
}

function isEscapedUtf8(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
}

export function malformed(parameter: string, reason: string): Problem {
  return new Problem('malformed-parameter', `${parameter}: ${reason}`, { parameter })
}
