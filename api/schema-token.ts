import { scopesOf } from '../src/auth/scope.ts'
import { identityOf } from '../src/auth/token.ts'
import type { StoredToken } from '../src/store/tokens.ts'
import { formatMicroseconds } from '../tlog/time.ts'
import {
  described,
  integer,
  type JsonSchema,
  listOf,
  named,
  object,
  oneOf,
  orNull,
  text,
  time,
  uuid,
} from './schema.ts'
import { entriesPerSecondMax, namePattern, requestsPerSecondMax } from './token-members.ts'

// Tokens, made of what `token-members.ts` checks requests with.

const role: JsonSchema = oneOf('writer', 'auditor', 'admin')
const name: JsonSchema = { type: 'string', pattern: namePattern.source }
const scopes: JsonSchema = described(
  'Parts of the role; without it all of it',
  listOf(oneOf(...new Set(Object.values(scopesOf).flat()))),
)
const requestsPerSecond: JsonSchema = described('0: no limit', integer(0, requestsPerSecondMax))
const entriesPerSecond: JsonSchema = described('0: no limit', integer(0, entriesPerSecondMax))
const expiresAt: JsonSchema = described('RFC 3339; a time to come', time)

export const wantedToken: JsonSchema = named('WantedToken', {
  type: 'object',
  required: ['name', 'role'],
  properties: { name, role, scopes: { ...scopes, minItems: 1 }, expiresAt, requestsPerSecond, entriesPerSecond },
  additionalProperties: false,
})

export const expiry: JsonSchema = named('Expiry', {
  type: 'object',
  required: ['expiresAt'],
  properties: { expiresAt },
  additionalProperties: false,
})

export const token: JsonSchema = named(
  'Token',
  object({
    id: uuid,
    name: text,
    identity: described('As entries name their writer', text),
    role,
    scopes: orNull(scopes),
    state: oneOf('live', 'expired', 'revoked'),
    requestsPerSecond: orNull(requestsPerSecond),
    entriesPerSecond: orNull(entriesPerSecond),
    createdAt: time,
    createdBy: orNull(text),
    expiresAt: orNull(time),
    revokedAt: orNull(time),
    lastUsedAt: described('To the minute', orNull(time)),
  }),
)

type TokenJson = Omit<StoredToken, TimeName> & { readonly identity: string; readonly createdAt: string } & Readonly<
    Record<Exclude<TimeName, 'createdAt'>, string | null>
  >
type TimeName = 'createdAt' | 'expiresAt' | 'revokedAt' | 'lastUsedAt'

/** Never with secret or hash. */
export function tokenJson(token: StoredToken): TokenJson {
  const { id, name, role, scopes, state, requestsPerSecond, entriesPerSecond, createdBy } = token
  return {
    ...{ id, name, identity: identityOf(name), role, scopes, state, requestsPerSecond, entriesPerSecond },
    createdAt: formatMicroseconds(token.createdAt),
    createdBy,
    expiresAt: timeOrNull(token.expiresAt),
    revokedAt: timeOrNull(token.revokedAt),
    lastUsedAt: timeOrNull(token.lastUsedAt),
  }
}

function timeOrNull(us: number | null): string | null {
  return us === null ? null : formatMicroseconds(us)
}
