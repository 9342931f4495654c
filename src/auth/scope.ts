import type { TokenRole } from '../store/tokens.ts'

/** What a role may do, in parts: a token has all of its role, or only some. */
export const scopesOf = {
  writer: ['entries:submit', 'bytes:add'],
  auditor: ['entries:read', 'entries:search', 'entries:stream'],
  admin: ['tokens:read', 'tokens:manage', 'metrics:read'],
} as const satisfies Record<TokenRole, readonly string[]>

export type Scope = (typeof scopesOf)[TokenRole][number]

/** The role that a scope is a part of. */
export function roleOf(scope: Scope): TokenRole {
  return roles.get(scope) as TokenRole
}

const tokenRoles = ['writer', 'auditor', 'admin'] as const
const roles = new Map<string, TokenRole>(tokenRoles.flatMap((role) => scopesOf[role].map((scope) => [scope, role])))
