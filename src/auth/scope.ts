import type { TokenRole } from '../store/tokens.ts'

export type Scope =
  | 'entries:submit'
  | 'bytes:add'
  | 'entries:read'
  | 'entries:search'
  | 'entries:stream'
  | 'tokens:read'
  | 'tokens:manage'
  | 'metrics:read'
  | 'docs:read'

/** What a role may do, in parts: a token has all of its role, or only some. */
export const scopesOf: Readonly<Record<TokenRole, readonly Scope[]>> = {
  writer: ['entries:submit', 'bytes:add'],
  auditor: ['entries:read', 'entries:search', 'entries:stream'],
  admin: ['tokens:read', 'tokens:manage', 'metrics:read', 'docs:read'],
}

const tokenRoles = ['writer', 'auditor', 'admin'] as const
const roles = new Map<Scope, TokenRole>(tokenRoles.flatMap((role) => scopesOf[role].map((scope) => [scope, role])))

/** The role that a scope is a part of. */
export function roleOf(scope: Scope): TokenRole {
  return roles.get(scope) as TokenRole
}
