import type { Context, Hono } from 'hono'
import type { Principal } from '../../src/auth/principal.ts'
import { identityOf } from '../../src/auth/token.ts'
import type { StoredToken } from '../../src/store/tokens.ts'
import { TlogError } from '../../tlog/errors.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { requireRole } from '../authenticate.ts'
import { type Deadline, deadlineIn } from '../deadline.ts'
import { type Members, withMembers } from '../json-body.ts'
import { checkQuery, malformed, readDecimal, readQuery } from '../parameters.ts'
import type { Env, Server } from '../server.ts'
import { readExpiresAt, readWantedToken, wantedMembers } from '../token-members.ts'

const limitDefault = 100
const limitMax = 1_000
const notReadInTime = 'the tokens could not be read in time'
const notYetKnown = 'it is not known yet whether this was done: look at the list of tokens'
const noStore = { 'cache-control': 'no-store' }

/**
 * Tokens for administrators: `POST /v1/tokens` makes one, and its answer alone has the secret; `GET` shows them, and
 * `POST .../revoke` and `.../expire` end them.
 */
export function routeTokens(app: Hono<Env>, server: Server): void {
  app.post('/v1/tokens', (c) =>
    asAdministrator(server, c, wantedMembers, async (members, { identity }, deadline) => {
      const wanted = readWantedToken(members, Date.now())
      const { token, secret } = await deadline.within(server.tokens.make(wanted, identity), notYetKnown)
      const headers = { ...noStore, location: `/v1/tokens/${token.id}` }
      return c.json({ token: tokenJson(token), secret }, 201, headers)
    }),
  )
  app.get('/v1/tokens', (c) => answerTokens(server, c))
  app.get('/v1/tokens/:id', async (c) => {
    const deadline = await requireReading(server, c)
    const id = readId(c)
    return answerToken(c, await deadline.within(server.tokens.read(id), notReadInTime))
  })
  app.post('/v1/tokens/:id/revoke', async (c) => {
    const deadline = deadlineIn(server.times.answerMs)
    const { identity } = await requireRole(server, c, 'tokens:manage', deadline)
    checkQuery(c, [])
    return answerToken(c, await deadline.within(server.tokens.revoke(readId(c), identity), notYetKnown))
  })
  app.post('/v1/tokens/:id/expire', (c) =>
    asAdministrator(server, c, ['expiresAt'], async (members, { identity }, deadline) => {
      const expiring = server.tokens.expire(readId(c), readExpiresAt(members, Date.now()), identity)
      return answerToken(c, await deadline.within(expiring, notYetKnown))
    }),
  )
}

/** What somebody who may manage tokens asks for with a JSON object. */
async function asAdministrator(
  server: Server,
  c: Context<Env>,
  known: readonly string[],
  use: (members: Members, principal: Principal, deadline: Deadline) => Promise<Response>,
): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  const principal = await requireRole(server, c, 'tokens:manage', deadline)
  checkQuery(c, [])
  return withMembers(server, c, known, (members) => use(members, principal, deadline))
}

async function requireReading(server: Server, c: Context<Env>, parameters: readonly string[] = []): Promise<Deadline> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, 'tokens:read', deadline)
  checkQuery(c, parameters)
  return deadline
}

async function answerTokens(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = await requireReading(server, c, ['cursor', 'limit'])
  const cursor = readQuery(c, 'cursor')
  const limitText = readQuery(c, 'limit')
  const limit = limitText === undefined ? limitDefault : readDecimal(limitText, 'limit')
  if (limit < 1 || limit > limitMax) throw malformed('limit', `want 1 to ${limitMax}`)
  const after = cursor === undefined ? undefined : parseId(cursor, 'cursor')
  const found = await deadline.within(server.tokens.list(after, limit + 1), notReadInTime)
  const tokens = found.slice(0, limit)
  const nextCursor = found.length > limit ? (tokens.at(-1)?.id ?? null) : null
  return c.json({ tokens: tokens.map(tokenJson), nextCursor }, 200, noStore)
}

function answerToken(c: Context<Env>, token: StoredToken): Response {
  return c.json(tokenJson(token), 200, noStore)
}

/** Never with secret or hash. */
function tokenJson(token: StoredToken): object {
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

function readId(c: Context<Env>): string {
  return parseId(c.req.param('id') ?? '', 'id')
}

function parseId(text: string, parameter: string): string {
  try {
    return formatUuid(parseUuid(text))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed(parameter, 'want a UUID')
  }
}
