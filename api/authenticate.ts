import type { Context } from 'hono'
import type { Principal } from '../src/auth/principal.ts'
import { rolesOf, type Scope } from '../src/auth/scope.ts'
import type { Deadline } from './deadline.ts'
import type { Env } from './env.ts'
import { headerOf } from './header.ts'
import { Problem } from './problem.ts'
import type { Server } from './server.ts'

const challenge = 'Bearer realm="dendrolog"'

/** A part of a role; or a whole role, which tokens that are narrowed to parts of it have not. */
export type Need = Principal['role'] | Scope

/**
 * The principal of a request, who must have the scope or the role. 401 without a token that holds, 403 with another role
 * or without the scope, 429 beyond its rate of requests. Rejects with something else where tokens cannot be looked up
 * before the deadline. A token in the URL counts for nothing: URLs are logged.
 */
export async function requireRole(server: Server, c: Context<Env>, need: Need, deadline: Deadline): Promise<Principal> {
  const secret = readBearer(headerOf(c, 'authorization'))
  const finding = findPrincipal(server, secret ?? '', deadline)
  // What is known already is not waited for: neither promise nor timer for most requests.
  const principal = finding instanceof Promise ? await finding : finding
  server.rateLimiter.countRequest(principal)
  checkNeed(principal, need)
  return principal
}

/** At once where it is known; 401 where there is none. */
function findPrincipal(server: Server, secret: string, deadline: Deadline): Principal | Promise<Principal> {
  const found = secret === '' ? undefined : server.authenticate(secret)
  return found instanceof Promise ? deadline.within(found, notLookedUp).then(orInvalid) : orInvalid(found)
}

function orInvalid(principal: Principal | undefined): Principal {
  if (principal !== undefined) return principal
  throw unauthenticated('the bearer token is not valid', `${challenge}, error="invalid_token"`)
}

function checkNeed({ role, scopes }: Principal, need: Need): void {
  const needsScope = isScope(need)
  const wanted = needsScope ? rolesOf(need) : [need]
  if (!wanted.includes(role)) throw forbidden(`this takes a token of the role ${wanted.join(' or ')}`)
  if (scopes === undefined || (needsScope && scopes.includes(need))) return
  throw forbidden(needsScope ? `the token lacks the scope ${need}` : `this takes a token with all of the role ${role}`)
}

export function isScope(need: Need): need is Scope {
  return need.includes(':')
}

/** Whose body is read. */
export type Sender = {
  readonly identity: string
  /** Rejects where the token does not hold any more, or may not do this. */
  readonly checkStill: () => Promise<void>
}

/** The principal as sender: what was asked before a body came is asked again when it is there. */
export function senderOf(
  server: Server,
  c: Context<Env>,
  { identity }: Principal,
  need: Need,
  deadline: Deadline,
): Sender {
  const checkStill = async (): Promise<void> => {
    const secret = readBearer(headerOf(c, 'authorization')) ?? ''
    checkNeed(await findPrincipal(server, secret, deadline), need)
  }
  return { identity, checkStill }
}

/** Whether the token of a request still holds: asked again and again while a stream is open. */
export async function holdsStill(server: Server, c: Context<Env>): Promise<boolean> {
  const secret = readBearer(headerOf(c, 'authorization'))
  return secret !== undefined && (await server.authenticate(secret)) !== undefined
}

function forbidden(detail: string): Problem {
  return new Problem('forbidden', detail, {
    headers: { 'www-authenticate': `${challenge}, error="insufficient_scope"` },
  })
}

const notLookedUp = 'the token could not be looked up in time'

/** The token of an Authorization header, undefined where it cannot be one. 401 where there is none at all. */
function readBearer(header: string | undefined): string | undefined {
  const match = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(header ?? '')
  if (match !== null) return match[1]
  if (header === undefined || header === '') {
    throw unauthenticated('want an Authorization header with a bearer token', challenge)
  }
  if (/^Bearer( |$)/i.test(header)) return undefined
  throw unauthenticated('Authorization: want the scheme Bearer and a token, got another scheme', challenge)
}

function unauthenticated(detail: string, authenticate: string): Problem {
  return new Problem('unauthenticated', detail, { headers: { 'www-authenticate': authenticate } })
}
