import type { Context, Hono } from 'hono'
import type { StoredToken } from '../../src/store/tokens.ts'
import { answerMembers, memberProblems } from '../answer-members.ts'
import { requireRole } from '../authenticate.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, type Handler, jsonOrCbor, jsonType, type Operation } from '../operation.ts'
import { anyUuid, decimal, optional, readQuery, required, withDefault } from '../parameters.ts'
import { listOf, object, orNull, text, uuid } from '../schema.ts'
import { expiry, token, tokenJson, wantedToken } from '../schema-token.ts'
import type { Server } from '../server.ts'
import { readExpiresAt, readWantedToken, wantedMembers } from '../token-members.ts'

const limitDefault = 100
const limitMax = 1_000
const notReadInTime = 'the tokens could not be read in time'
const notYetKnown = 'it is not known yet whether this was done: look at the list of tokens'
const noStore = { 'cache-control': 'no-store' }

const pathParameters = { id: required(anyUuid, 'Id of a token') }
const listQuery = {
  cursor: optional(anyUuid, '`nextCursor` of the page before'),
  limit: withDefault(decimal(1, limitMax), limitDefault, 'Tokens of a page'),
}

const read = { who: 'tokens:read', query: {} } as const
const manage = { who: 'tokens:manage', query: {} } as const
const oneToken = { 200: { doc: 'The token, never with its secret', content: jsonOrCbor(token) } }

const making: Operation = {
  ...manage,
  id: 'makeToken',
  summary: 'Make a token',
  body: { [jsonType]: wantedToken },
  answers: {
    201: { doc: 'The token, and its secret this once', content: jsonOrCbor(object({ token, secret: text })) },
  },
  problems: [...memberProblems, 'name-taken', 'too-many-tokens'],
}
const listing: Operation = {
  ...read,
  id: 'listTokens',
  summary: 'Tokens, in pages',
  query: listQuery,
  answers: {
    200: {
      doc: 'Send `nextCursor` until it is null',
      content: jsonOrCbor(object({ tokens: listOf(token, limitMax), nextCursor: orNull(uuid) })),
    },
  },
}
const reading: Operation = {
  ...read,
  id: 'readToken',
  summary: 'A token',
  pathParameters,
  answers: oneToken,
  problems: ['no-such-token'],
}
const revoking: Operation = {
  ...manage,
  id: 'revokeToken',
  summary: 'End a token now; to revoke it again changes nothing',
  pathParameters,
  answers: oneToken,
  problems: ['no-such-token', 'last-admin'],
}
const expiring: Operation = {
  ...manage,
  id: 'expireToken',
  summary: 'Let a token end at a time',
  pathParameters,
  body: { [jsonType]: expiry },
  answers: oneToken,
  problems: [...memberProblems, 'no-such-token', 'last-admin', 'token-ended'],
}

/**
 * Tokens for administrators: `POST /v1/tokens` makes one, and its answer alone has the secret; `GET` shows them, and
 * `POST .../revoke` and `.../expire` end them.
 */
export function routeTokens(app: Hono<Env>, server: Server): void {
  const make: Handler = (c) =>
    answerMembers(server, c, manage.who, wantedMembers, async (members, { identity }, deadline) => {
      const wanted = readWantedToken(members, Date.now())
      const { token, secret } = await deadline.within(server.tokens.make(wanted, identity), notYetKnown)
      const headers = { ...noStore, location: `/v1/tokens/${token.id}` }
      return c.json({ token: tokenJson(token), secret }, 201, headers)
    })
  const expire: Handler = (c) =>
    answerMembers(server, c, manage.who, ['expiresAt'], async (members, { identity }, deadline) => {
      const expiring = server.tokens.expire(readId(c), readExpiresAt(members, Date.now()), identity)
      return answerToken(c, await deadline.within(expiring, notYetKnown))
    })
  app.post('/v1/tokens', describe(making, make))
  app.get(
    '/v1/tokens',
    describe(listing, (c) => answerTokens(server, c)),
  )
  app.get(
    '/v1/tokens/:id',
    describe(reading, (c) => answerOne(server, c)),
  )
  app.post(
    '/v1/tokens/:id/revoke',
    describe(revoking, (c) => revoke(server, c)),
  )
  app.post('/v1/tokens/:id/expire', describe(expiring, expire))
}

async function revoke(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  const { identity } = await requireRole(server, c, manage.who, deadline)
  readQuery(c, {})
  return answerToken(c, await deadline.within(server.tokens.revoke(readId(c), identity), notYetKnown))
}

async function answerOne(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, read.who, deadline)
  readQuery(c, {})
  return answerToken(c, await deadline.within(server.tokens.read(readId(c)), notReadInTime))
}

async function answerTokens(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireRole(server, c, read.who, deadline)
  const { cursor, limit } = readQuery(c, listQuery)
  const found = await deadline.within(server.tokens.list(cursor, limit + 1), notReadInTime)
  const tokens = found.slice(0, limit)
  const nextCursor = found.length > limit ? (tokens.at(-1)?.id ?? null) : null
  return c.json({ tokens: tokens.map(tokenJson), nextCursor }, 200, noStore)
}

function answerToken(c: Context<Env>, token: StoredToken): Response {
  return c.json(tokenJson(token), 200, noStore)
}

function readId(c: Context<Env>): string {
  return pathParameters.id.read(c.req.param('id'), 'id')
}
