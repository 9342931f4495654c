import type { Context } from 'hono'
import type { Principal } from '../src/auth/principal.ts'
import { Problem } from './problem.ts'
import type { Env, Server } from './server.ts'

/** The principal of a request, who must have the role. 401 without a token that holds, 403 with another role. */
export async function requireRole(server: Server, c: Context<Env>, role: Principal['role']): Promise<Principal> {
  const header = c.req.header('authorization')
  if (header === undefined) throw new Problem('unauthenticated', 'want an Authorization header with a bearer token')
  const match = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(header)
  const principal = match?.[1] === undefined ? undefined : await server.authenticate(match[1])
  if (principal === undefined) throw new Problem('unauthenticated', 'the bearer token is not valid')
  if (principal.role !== role) throw new Problem('forbidden', `this takes a token of the role ${role}`)
  return principal
}
