import { scopesOf } from '../src/auth/scope.ts'
import type { WantedToken } from '../src/auth/token-office.ts'
import type { TokenRole } from '../src/store/tokens.ts'
import { TlogError } from '../tlog/errors.ts'
import { parseOccurredAt } from '../tlog/time.ts'
import { type Members, malformedBody } from './json-body.ts'

/** Members of a request for a token; `name` and `role` are required, `null` is none of their values. */
export const wantedMembers = ['name', 'role', 'scopes', 'expiresAt', 'requestsPerSecond', 'entriesPerSecond'] as const

export const requestsPerSecondMax = 1_000_000
export const entriesPerSecondMax = 10_000_000
export const namePattern: RegExp = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$/

/** Throws `malformed-body` with the member's pointer. Times are later than `nowMs`. */
export function readWantedToken(members: Members, nowMs: number): WantedToken {
  const role = readRole(members.role)
  return {
    name: readName(members.name),
    role,
    scopes: members.scopes === undefined ? null : readScopes(members.scopes, role),
    expiresAt: members.expiresAt === undefined ? null : readExpiresAt(members, nowMs),
    requestsPerSecond: readRate(members, 'requestsPerSecond', requestsPerSecondMax),
    entriesPerSecond: readRate(members, 'entriesPerSecond', entriesPerSecondMax),
  }
}

/** Microseconds since 1970, later than `nowMs`. */
export function readExpiresAt({ expiresAt }: Members, nowMs: number): number {
  const us = parseTime(expiresAt)
  if (us <= 1_000 * nowMs) throw malformedBody('/expiresAt', 'want a time to come; to end a token now, revoke it')
  return us
}

function parseTime(value: unknown): number {
  const want = 'want a time of RFC 3339, like 2027-01-31T00:00:00Z'
  if (typeof value !== 'string') throw malformedBody('/expiresAt', want)
  try {
    return parseOccurredAt(value)
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformedBody('/expiresAt', want)
  }
}

function readName(value: unknown): string {
  if (typeof value === 'string' && namePattern.test(value)) return value
  throw malformedBody('/name', 'want 1 to 100 of A-Z a-z 0-9 . _ @ -, a letter or digit first')
}

function readRole(value: unknown): TokenRole {
  if (value === 'writer' || value === 'auditor' || value === 'admin') return value
  throw malformedBody('/role', 'want writer, auditor or admin')
}

function readScopes(value: unknown, role: TokenRole): readonly string[] {
  const known: readonly string[] = scopesOf[role]
  const want = `want one or more of ${known.join(', ')}; without it the token has all of the role ${role}`
  if (!Array.isArray(value) || value.length === 0) throw malformedBody('/scopes', want)
  value.forEach((scope: unknown, i) => {
    if (!known.includes(scope as string)) throw malformedBody(`/scopes/${i}`, want)
    if (value.indexOf(scope) < i) throw malformedBody(`/scopes/${i}`, 'is there twice')
  })
  return value as string[]
}

function readRate(members: Members, name: 'requestsPerSecond' | 'entriesPerSecond', max: number): number | null {
  const value = members[name]
  if (value === undefined) return null
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max) return value as number
  throw malformedBody(`/${name}`, `want an integer of 0 (no limit) to ${max}`)
}
