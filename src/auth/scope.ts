import type { TokenRole } from '../store/tokens.ts'

export type Scope =
  | 'entries:submit'
  | 'bytes:add'
  | 'entries:read'
  | 'entries:search'
  | 'entries:stream'
  | 'incidents:read'
  | 'incidents:manage'
  | 'tokens:read'
  | 'tokens:manage'
  | 'metrics:read'
  | 'docs:read'

/** What a role may do, in parts: a token has all of its role, or only some. */
export const scopesOf: Readonly<Record<TokenRole, readonly Scope[]>> = {
  writer: ['entries:submit', 'bytes:add'],
  auditor: ['entries:read', 'entries:search', 'entries:stream', 'incidents:read'],
  admin: ['tokens:read', 'tokens:manage', 'incidents:read', 'incidents:manage', 'metrics:read', 'docs:read'],
}

const tokenRoles = ['writer', 'auditor', 'admin'] as const
const roles = new Map<Scope, readonly TokenRole[]>(
  tokenRoles
    .flatMap((role) => scopesOf[role])
    .map((scope) => [scope, tokenRoles.filter((role) => scopesOf[role].includes(scope))]),
)

/** The roles that a scope is a part of: one, or the few that share it. */
export function rolesOf(scope: Scope): readonly TokenRole[] {
  return roles.get(scope) ?? []
}
