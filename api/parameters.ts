import type { Context } from 'hono'
import { parseBase64 } from '../tlog/bytes.ts'
import { parseDecimal } from '../tlog/coords.ts'
import { TlogError } from '../tlog/errors.ts'
import { asHash, type Hash } from '../tlog/hash.ts'
import { parseOccurredAt } from '../tlog/time.ts'
import { formatUuid, parseUuid } from '../tlog/uuid.ts'
import { Problem } from './problem.ts'
import { base64Hash, integer, type JsonSchema, oneOf, text as textSchema, time, uuid } from './schema.ts'

// A parameter is declared once: what is declared reads it, checks it, and stands in the OpenAPI document.

/** What a text of the request may be. `parse` throws a Problem that names the parameter. */
export type Kind<T> = {
  readonly schema: JsonSchema
  readonly parse: (text: string, parameter: string) => T
}

export type Parameter<T> = {
  readonly schema: JsonSchema
  readonly doc: string
  readonly isRequired: boolean
  /** `text` is undefined where the request has none. */
  readonly read: (text: string | undefined, parameter: string) => T
}

export type Parameters = Readonly<Record<string, Parameter<unknown>>>
export type ValuesOf<P extends Parameters> = {
  readonly [N in keyof P]: P[N] extends Parameter<infer T> ? T : never
}

export function required<T>({ schema, parse }: Kind<T>, doc: string): Parameter<T> {
  const read = (text: string | undefined, parameter: string): T => {
    if (text === undefined) throw malformed(parameter, 'is required')
    return parse(text, parameter)
  }
  return { schema, doc, isRequired: true, read }
}

export function optional<T>({ schema, parse }: Kind<T>, doc: string): Parameter<T | undefined> {
  const read = (text: string | undefined, parameter: string): T | undefined =>
    text === undefined ? undefined : parse(text, parameter)
  return { schema, doc, isRequired: false, read }
}

export function withDefault<T extends string | number>(
  { schema, parse }: Kind<T>,
  value: NoInfer<T>,
  doc: string,
): Parameter<T> {
  const read = (text: string | undefined, parameter: string): T => (text === undefined ? value : parse(text, parameter))
  return { schema: { ...schema, default: value }, doc, isRequired: false, read }
}

/** A decimal number of `min` to `max`, in its one spelling. */
export function decimal(min: number = 0, max: number = Number.MAX_SAFE_INTEGER): Kind<number> {
  const want = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`
  const parse = (text: string, parameter: string): number => {
    const n = readDecimal(text, parameter)
    if (n < min || n > max) throw malformed(parameter, `want ${want}`)
    return n
  }
  return { schema: integer(min, max), parse }
}

const uint64Max = 2n ** 64n - 1n

/** A decimal number of `min` to 2^64-1, in its one spelling. No log has 2^53-1 entries: what is above is read as that. */
export function uint64(min: number): Kind<number> {
  const parse = (text: string, parameter: string): number => {
    const isNumber = /^(0|[1-9]\d{0,19})$/.test(text) && BigInt(text) <= uint64Max
    if (!isNumber || Number(text) < min) throw malformed(parameter, `want a decimal number of ${min} to 2^64-1`)
    return Math.min(Number(text), Number.MAX_SAFE_INTEGER)
  }
  return { schema: { type: 'integer', format: 'uint64', minimum: min }, parse }
}

export function choice<T extends string>(...values: readonly T[]): Kind<T> {
  const parse = (text: string, parameter: string): T => {
    const value = values.find((known) => known === text)
    if (value === undefined) throw malformed(parameter, `want ${values.join(' or ')}`)
    return value
  }
  return { schema: oneOf(...values), parse }
}

/** A text that is only compared or taken apart later. */
export const anyText: Kind<string> = { schema: textSchema, parse: (text) => text }

/** A text to compare entries with. */
export const searchText: Kind<string> = {
  schema: { ...textSchema, minLength: 1 },
  parse: (text, parameter) => {
    if (text === '') throw malformed(parameter, 'is empty')
    // PostgreSQL has no text with it, and so has no entry.
    if (text.includes('\0')) throw malformed(parameter, 'U+0000 stands in no entry')
    return text
  },
}

/** RFC 3339, as in `occurredAt`; microseconds since 1970. */
export const instant: Kind<number> = {
  schema: time,
  parse: (text, parameter) => orMalformed(parameter, undefined, () => parseOccurredAt(text)),
}

/** In lower case, whatever case it came in. */
export const anyUuid: Kind<string> = {
  schema: uuid,
  parse: (text, parameter) => orMalformed(parameter, 'want a UUID', () => formatUuid(parseUuid(text))),
}

/** Base64 of 32 bytes; a `+` that was not escaped arrives as a space, and is refused. */
export const hash: Kind<Hash> = {
  schema: base64Hash,
  parse: (text, parameter) => orMalformed(parameter, 'want the base64 of 32 bytes', () => asHash(parseBase64(text))),
}

/** What `parse` makes; a Problem with `reason`, or the parser's own, where that is an error of the text. */
export function orMalformed<T>(parameter: string, reason: string | undefined, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed(parameter, reason ?? error.message)
  }
}

/**
 * The query of a path that knows these parameters. Others are refused, since a misspelt one would be ignored in silence;
 * so is what is given twice: nobody can tell which one counts.
 */
export function readQuery<P extends Parameters>(c: Context, parameters: P): ValuesOf<P> {
  checkQuery(c, Object.keys(parameters))
  return readKnownQuery(c, parameters)
}

/** The same, where a specification wants others to be ignored. */
export function readKnownQuery<P extends Parameters>(c: Context, parameters: P): ValuesOf<P> {
  const values: Record<string, unknown> = {}
  for (const [name, parameter] of Object.entries(parameters)) values[name] = parameter.read(queryText(c, name), name)
  return values as ValuesOf<P>
}

/** A decimal number of 0 to 2^53-1 in its one spelling; a Problem that names the parameter otherwise. */
export function readDecimal(text: string | undefined, parameter: string): number {
  if (text === undefined) throw malformed(parameter, 'is required')
  try {
    return parseDecimal(text, parameter)
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new Problem('malformed-parameter', `${error.message}, want a decimal number of 0 to 2^53-1`, { parameter })
  }
}

export function malformed(parameter: string, reason: string): Problem {
  return new Problem('malformed-parameter', `${parameter}: ${reason}`, { parameter })
}

function queryText(c: Context, parameter: string): string | undefined {
  const [value, second] = c.req.queries(parameter) ?? []
  if (second !== undefined) throw malformed(parameter, 'is given twice')
  return value
}

/**
 * Refuses query parameters that a path does not know, and escapes that are not UTF-8, since they would be taken for the
 * text of the escapes. Free where there is no query.
 */
function checkQuery(c: Context, known: readonly string[]): void {
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
