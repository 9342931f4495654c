import type { Context } from 'hono'
import type { Principal } from '../src/auth/principal.ts'
import { headerOf } from './header.ts'
import { Problem } from './problem.ts'
import type { Env, Server } from './server.ts'

const challenge = 'Bearer realm="dendrolog"'

/**
 * The principal of a request, who must have the role. 401 without a token that holds, 403 with another role. Rejects
 * with something else where tokens cannot be looked up. A token in the URL counts for nothing: URLs are logged.
 */
export async function requireRole(server: Server, c: Context<Env>, role: Principal['role']): Promise<Principal> {
  const header = headerOf(c, 'authorization')
  if (header === undefined) throw unauthenticated('want an Authorization header with a bearer token', challenge)
  const match = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(header)
  const principal = match?.[1] === undefined ? undefined : await server.authenticate(match[1])
  if (principal === undefined) {
    throw unauthenticated('the bearer token is not valid', `${challenge}, error="invalid_token"`)
  }
  if (principal.role === role) return principal
  const headers = { 'www-authenticate': `${challenge}, error="insufficient_scope"` }
  throw new Problem('forbidden', `this takes a token of the role ${role}`, { headers })
}

function unauthenticated(detail: string, authenticate: string): Problem {
  return new Problem('unauthenticated', detail, { headers: { 'www-authenticate': authenticate } })
}
