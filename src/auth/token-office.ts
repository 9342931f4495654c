import { formatMicroseconds } from '../../tlog/time.ts'
import type { SignAct, SignedAct } from '../store/acts.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import {
  expireToken,
  insertToken,
  isNameTaken,
  liveTokensMax,
  readToken,
  readTokensAfter,
  revokeToken,
  type StoredToken,
  type TokenGrant,
} from '../store/tokens.ts'
import { createTokenSecret, identityOf } from './token.ts'

/** Why a token is not made, revoked or ended. */
export type TokenRefusalCode = 'name-taken' | 'too-many-tokens' | 'no-such-token' | 'last-admin' | 'token-ended'

export class TokenRefusal extends Error {
  readonly code: TokenRefusalCode

  constructor(code: TokenRefusalCode, message: string) {
    super(message)
    this.name = 'TokenRefusal'
    this.code = code
  }
}

/** What a new token is to be. Time in microseconds since 1970; null: it does not expire. */
export type WantedToken = Omit<TokenGrant, 'id'> & { readonly expiresAt: number | null }

/** The secret is here and nowhere else. */
export type MadeToken = { readonly token: StoredToken; readonly secret: string }

export type TokenOfficeOptions = {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  readonly hashSecret: (secret: string) => Uint8Array
  /** A new UUIDv7 as text. */
  readonly makeId: () => string
  readonly signAct: SignAct
  /** Told of tokens that were revoked or will expire at another time. */
  readonly onChanged: (tokenId: string) => void
}

/**
 * Makes, shows and ends tokens for administrators. Each change is told in the outbox of the log's own acts, in the same
 * statement: what cannot be told is not done. `by` is the identity of who does it.
 */
export class TokenOffice {
  readonly #options: TokenOfficeOptions

  constructor(options: TokenOfficeOptions) {
    this.#options = options
  }

  /** Throws `name-taken` and `too-many-tokens`. */
  async make(wanted: WantedToken, by: string): Promise<MadeToken> {
    const { query, schema, hashSecret, makeId } = this.#options
    const secret = createTokenSecret()
    const token = { ...wanted, id: makeId(), createdBy: by }
    const { scopes, expiresAt, requestsPerSecond, entriesPerSecond } = token
    const told = await this.#tell('made', token, by, {
      ...{ scopes, requestsPerSecond, entriesPerSecond },
      expiresAt: timeText(expiresAt),
    })
    const made = await insertToken(query, schema, hashSecret(secret), token, told)
    if (made !== undefined) return { token: made, secret }
    if (await isNameTaken(query, schema, token.name)) throw new TokenRefusal('name-taken', nameTaken(token.name))
    throw new TokenRefusal('too-many-tokens', `${liveTokensMax} tokens hold; revoke some first`)
  }

  list(after: string | undefined, limit: number): Promise<readonly StoredToken[]> {
    return readTokensAfter(this.#options.query, this.#options.schema, after, limit)
  }

  /** Throws `no-such-token`. */
  async read(id: string): Promise<StoredToken> {
    const token = await readToken(this.#options.query, this.#options.schema, id)
    if (token === undefined) throw new TokenRefusal('no-such-token', `no token has the id ${id}`)
    return token
  }

  /** Revokes a token for ever; one that was revoked before is left as it is. Throws `no-such-token`, `last-admin`. */
  async revoke(id: string, by: string): Promise<StoredToken> {
    const { query, schema } = this.#options
    const token = await this.read(id)
    if (token.state === 'revoked') return token
    const revoked = await revokeToken(query, schema, id, await this.#tell('revoked', token, by, {}))
    this.#options.onChanged(id)
    return revoked ?? this.#refusedChange(id, (now) => now.state === 'revoked')
  }

  /** Lets a token that holds expire at a time (microseconds since 1970). Throws as `revoke`, and `token-ended`. */
  async expire(id: string, expiresAt: number, by: string): Promise<StoredToken> {
    const { query, schema } = this.#options
    const token = await this.read(id)
    if (token.state === 'live' && token.expiresAt === expiresAt) return token
    const told = await this.#tell('expiry-set', token, by, {
      expiresAt: timeText(expiresAt),
      before: timeText(token.expiresAt),
    })
    const changed = await expireToken(query, schema, id, expiresAt, told)
    this.#options.onChanged(id)
    return changed ?? this.#refusedChange(id, () => false)
  }

  /** Why nothing was changed, or the token where somebody else has done it meanwhile. */
  async #refusedChange(id: string, isDone: (token: StoredToken) => boolean): Promise<StoredToken> {
    const token = await this.read(id)
    if (isDone(token)) return token
    if (token.state === 'live') throw new TokenRefusal('last-admin', lastAdmin)
    throw new TokenRefusal('token-ended', `the token ${token.name} is ${token.state}, and stays so: make another one`)
  }

  /** Never with secret or hash. */
  #tell(what: string, token: Pick<TokenGrant, 'id' | 'name' | 'role'>, by: string, more: object): Promise<SignedAct> {
    const { id, name, role } = token
    return this.#options.signAct({
      action: `dendrolog.token.${what}`,
      actorId: by,
      resource: identityOf(name),
      detail: { tokenId: id, role, ...more },
    })
  }
}

function timeText(us: number | null): string | null {
  return us === null ? null : formatMicroseconds(us)
}

const lastAdmin =
  'this is the last token that may manage tokens and does not expire: make another such token of the role admin first'

function nameTaken(name: string): string {
  return (
    `${name} is or was the name of a token (in any case of letters): a name is free again when its token is revoked, ` +
    "a writer's never, since entries say by it who wrote them"
  )
}
