import { TlogError } from './errors.ts'

/**
 * RFC 8785 text of a value that came from JSON.parse or is plain data of the same kinds. Numbers that are not finite,
 * lone surrogates and everything that JSON does not have (`undefined` included) throw `json-not-strict`. For bytes
 * from outside use `parseStrict` first: duplicate names and rounded numbers cannot be seen here any more.
 */
export function jcs(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return formatNumber(value)
  if (typeof value === 'string') return formatString(value)
  if (Array.isArray(value)) return `[${Array.from(value, jcs).join(',')}]`
  if (isPlainObject(value)) return `{${formatMembers(value).join(',')}}`
  throw new TlogError('json-not-strict', `canonical JSON: got a value of type ${typeof value}`)
}

/** Array.prototype.sort compares UTF-16 code units, as RFC 8785 3.2.3 wants it. */
function formatMembers(members: Record<string, unknown>): string[] {
  return Object.keys(members)
    .sort()
    .map((name) => `${formatString(name)}:${jcs(members[name])}`)
}

function formatNumber(value: number): string {
  if (!Number.isFinite(value)) throw new TlogError('json-not-strict', `canonical JSON: got the number ${value}`)
  return String(value)
}

function formatString(value: string): string {
  if (!value.isWellFormed()) throw new TlogError('json-not-strict', 'canonical JSON: got a lone surrogate')
  return JSON.stringify(value)
}

/** A Date, Map or typed array would lose its content; only what `{}` and JSON.parse make is taken. */
function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
