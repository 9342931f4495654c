import { adviceOn, type ServerPlace } from '../server-fetch.ts'

/** The server whose tokens these are. */
export type TokenServer = ServerPlace & {
  /** An administrator's. */
  readonly token: string
}

/** A token as the server shows it; times are RFC 3339. */
export type ShownToken = {
  readonly id: string
  readonly name: string
  readonly role: string
  readonly scopes: readonly string[] | null
  readonly state: string
  readonly createdAt: string
  readonly createdBy: string | null
  readonly expiresAt: string | null
  readonly revokedAt: string | null
  readonly lastUsedAt: string | null
  readonly requestsPerSecond: number | null
  readonly entriesPerSecond: number | null
}

/** The server will not do this, however often it is asked. */
export class ServerRefusal extends Error {
  /** Stable code of its problem document. */
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'ServerRefusal'
    this.code = code
  }
}

const requestMs = 60_000
const pageTokens = 1_000
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Makes a token. The secret is in the answer and nowhere else; asked twice, the second one is refused. */
export async function makeToken(
  server: TokenServer,
  wanted: object,
  signal: AbortSignal,
): Promise<{ readonly token: ShownToken; readonly secret: string }> {
  const { token, secret } = await ask(server, 'POST', 'v1/tokens', wanted, signal)
  if (typeof secret !== 'string') throw notUnderstood(server)
  return { token: tokenOf(server, token), secret }
}

/** All tokens, page by page, oldest first. */
export async function* listTokens(server: TokenServer, signal: AbortSignal): AsyncGenerator<ShownToken, void> {
  for (let cursor: unknown = ''; cursor !== null; ) {
    const query = `limit=${pageTokens}${cursor === '' ? '' : `&cursor=${cursor}`}`
    const { tokens, nextCursor } = await ask(server, 'GET', `v1/tokens?${query}`, undefined, signal)
    const isWhole = Array.isArray(tokens) && (nextCursor === null || uuidPattern.test(String(nextCursor)))
    if (!isWhole) throw notUnderstood(server)
    for (const token of tokens) yield tokenOf(server, token)
    cursor = nextCursor
  }
}

/** `place`: the id of a token, or the name of one that is not revoked. */
export async function revokeToken(server: TokenServer, place: string, signal: AbortSignal): Promise<ShownToken> {
  const id = await findId(server, place, signal)
  return tokenOf(server, await ask(server, 'POST', `v1/tokens/${id}/revoke`, undefined, signal))
}

export async function expireToken(
  server: TokenServer,
  place: string,
  expiresAt: string,
  signal: AbortSignal,
): Promise<ShownToken> {
  const id = await findId(server, place, signal)
  return tokenOf(server, await ask(server, 'POST', `v1/tokens/${id}/expire`, { expiresAt }, signal))
}

async function findId(server: TokenServer, place: string, signal: AbortSignal): Promise<string> {
  if (uuidPattern.test(place)) return place
  for await (const { id, name, state } of listTokens(server, signal)) {
    if (name === place && state !== 'revoked') return id
  }
  throw new ServerRefusal('no-such-token', `no token that is not revoked has the name ${place}`)
}

type Members = Readonly<Record<string, unknown>>

/** One request, once: what was not answered may have been done. */
async function ask(
  server: TokenServer,
  method: 'GET' | 'POST',
  path: string,
  body: object | undefined,
  signal: AbortSignal,
): Promise<Members> {
  const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' }
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const { status, text } = await send(server, path, init, signal)
  const answer = parseObject(server, text)
  if (status === 200 || status === 201) return answer
  throw refusal(server, status, answer)
}

async function send(
  { url, fetch }: TokenServer,
  path: string,
  init: RequestInit,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  try {
    // A redirect would take the token along to who knows where.
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(requestMs)])
    const response = await fetch(new URL(path, url), { ...init, redirect: 'manual', signal: deadline })
    return { status: response.status, text: await response.text() }
  } catch (cause) {
    const { code, message } = ((cause as Error).cause ?? cause) as NodeJS.ErrnoException
    const advice = adviceOn(cause, url)
    const mayBeDone = init.method === 'POST' && (advice === '' || code === 'UND_ERR_SOCKET')
    const doubt = mayBeDone ? '; it may have been done: see `dendrolog tokens list`' : ''
    throw new Error(`${url.origin}: no answer (${code ?? message})${advice}${doubt}`, { cause })
  }
}

/** Who may not, and whoever should come later, was not refused for what is asked. */
function refusal({ url }: TokenServer, status: number, { code, detail }: Members): Error {
  const said = [code, detail].filter((part) => typeof part === 'string').join(': ')
  const advice = { 401: '; see --token-file', 403: '; want the token of an administrator' }[status] ?? ''
  const message = `${url.origin} answered ${status} ${said.slice(0, 300)}${advice}`
  const isFinal = status === 400 || status === 404 || status === 409
  return isFinal && typeof code === 'string' ? new ServerRefusal(code, message) : new Error(message)
}

function parseObject(server: TokenServer, text: string): Members {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Members
  } catch {
    // Falls through: it is no answer of ours either way.
  }
  throw notUnderstood(server)
}

function tokenOf(server: TokenServer, value: unknown): ShownToken {
  const { id, name, role, state } = (value ?? {}) as Members
  if ([id, name, role, state].every((member) => typeof member === 'string')) return value as ShownToken
  throw notUnderstood(server)
}

function notUnderstood({ url }: TokenServer): Error {
  return new Error(`${url.origin}: the answer is not that of a dendrolog server; correct --url`)
}
