import { formatUuid } from '../../tlog/uuid.ts'
import { hashSecret, type SealKey } from '../log/seal.ts'
import type { SignAct } from '../store/acts.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { type DefaultRates, TokenAuthenticator } from './token.ts'
import { TokenOffice } from './token-office.ts'
import { TokenUses } from './token-uses.ts'

export type TokensOptions = {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  /** Under which secrets are hashed. */
  readonly sealKey: SealKey
  /** A new UUIDv7, 16 bytes. */
  readonly makeId: () => Uint8Array
  readonly signAct: SignAct
  readonly rates: DefaultRates
  /** Told of each failure to write down uses. */
  readonly onFailed: (error: unknown) => void
}

/** All that a server does with tokens. `uses` is to be run. */
export type Tokens = {
  readonly authenticator: TokenAuthenticator
  readonly office: TokenOffice
  readonly uses: TokenUses
}

export function openTokens(options: TokensOptions): Tokens {
  const { query, schema, sealKey, makeId, signAct, rates, onFailed } = options
  const hash = (secret: string): Uint8Array => hashSecret(sealKey, secret)
  const uses = new TokenUses(query, schema, onFailed)
  const authenticator = new TokenAuthenticator(query, schema, hash, {
    rates,
    onUsed: (tokenId, usedAt) => uses.note(tokenId, usedAt),
  })
  const office = new TokenOffice({
    ...{ query, schema, signAct, hashSecret: hash },
    makeId: () => formatUuid(makeId()),
    onChanged: (tokenId) => authenticator.forget(tokenId),
  })
  return { authenticator, office, uses }
}
