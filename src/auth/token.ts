import { hash, randomBytes } from 'node:crypto'
import { Unavailable } from '../log/incident.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { type FoundToken, findToken } from '../store/tokens.ts'
import type { Principal, Rates } from './principal.ts'

/** 256 random bits; the prefix is for secret scanners. */
export function createTokenSecret(): string {
  return `dendrolog_${randomBytes(32).toString('base64url')}`
}

const secretBytesMax = 256
/** A revoked token stops within 5 s, what looks again twice a second included. */
const keptMs = 4_000
const keptMax = 10_000
/** Unknown tokens that are looked up at the same time: some 10 ms of a database's time. */
const lookupsMax = 32

type Found = Principal | undefined
type Kept = { readonly principal: Found; readonly tokenId?: string; readonly untilMs: number }

/** What tokens may use that have no rates of their own; 0: no limit. */
export type DefaultRates = Omit<Rates, 'tokenId'>

export type TokenOptions = {
  readonly rates?: DefaultRates
  /** Told, of tokens that were not used for a minute, when they were (microseconds since 1970). */
  readonly onUsed?: (tokenId: string, usedAt: number) => void
}

const noRates: DefaultRates = { requestsPerSecond: 0, entriesPerSecond: 0 }

/**
 * Finds the principal of a bearer token. What is looked up is a keyed hash of the secret, so that neither the database
 * nor the time of a look-up says anything about secrets. An answer is kept for 4 s, and never beyond the token's expiry:
 * so long a revoked token may live on another server. Uses are told from look-ups only: an answer that is kept costs
 * nothing.
 *
 * A flood of made-up tokens must not keep out who has a good one. Good and bad answers are kept apart, so that neither
 * pushes the other out; few unknown tokens are looked up at once; one that was good lately is always looked up.
 */
export class TokenAuthenticator {
  readonly #query: Query
  readonly #schema: Schema
  readonly #hashSecret: (secret: string) => Uint8Array
  readonly #options: TokenOptions
  /** Oldest first. A good answer stays when its time is over: its token comes again. */
  readonly #good = new Map<string, Kept>()
  readonly #bad = new Map<string, Kept>()
  /** The promise is kept too: a thousand requests at once ask the database once. */
  readonly #asked = new Map<string, Promise<Found>>()
  #unknownAsked = 0

  constructor(query: Query, schema: Schema, hashSecret: (secret: string) => Uint8Array, options: TokenOptions = {}) {
    this.#query = query
    this.#schema = schema
    this.#hashSecret = hashSecret
    this.#options = options
  }

  /**
   * Undefined where the token is unknown, expired or revoked; at once where that is known. Rejects when the database
   * cannot be asked, and with `Unavailable` when too many unknown tokens are being looked up.
   */
  authenticate(secret: string): Found | Promise<Found> {
    if (secret.length > secretBytesMax) return undefined
    // Answers are found by a hash too: to compare secrets themselves would take the longer the more of one is right.
    const key = hash('sha256', secret, 'base64')
    const now = performance.now()
    const kept = this.#good.get(key) ?? this.#bad.get(key)
    if (kept !== undefined && kept.untilMs > now) return kept.principal
    return this.#asked.get(key) ?? this.#ask(key, secret)
  }

  #ask(key: string, secret: string): Promise<Found> {
    const wasGood = this.#good.has(key)
    if (!wasGood && this.#unknownAsked >= lookupsMax) {
      return Promise.reject(new Unavailable('too many unknown tokens are being looked up'))
    }
    if (!wasGood) this.#unknownAsked++
    const asking = this.#find(key, secret).finally(() => {
      this.#asked.delete(key)
      if (!wasGood) this.#unknownAsked--
    })
    this.#asked.set(key, asking)
    return asking
  }

  /** Forgets what is kept of a token, so that here it stops at once. */
  forget(tokenId: string): void {
    for (const [key, kept] of this.#good) if (kept.tokenId === tokenId) this.#good.delete(key)
  }

  async #find(key: string, secret: string): Promise<Found> {
    const token = await findToken(this.#query, this.#schema, this.#hashSecret(secret))
    this.#good.delete(key)
    this.#bad.delete(key)
    const now = performance.now()
    if (token === undefined) {
      keep(this.#bad, key, { principal: undefined, untilMs: now + keptMs })
      return undefined
    }
    if (token.isUseDue) this.#options.onUsed?.(token.id, token.foundAt)
    const principal = principalOf(token, this.#options.rates ?? noRates)
    const untilMs = now + Math.min(keptMs, token.remainingMs ?? keptMs)
    keep(this.#good, key, { principal, tokenId: token.id, untilMs })
    return principal
  }
}

function keep(answers: Map<string, Kept>, key: string, kept: Kept): void {
  answers.set(key, kept)
  const [oldest] = answers.keys()
  if (answers.size > keptMax && oldest !== undefined) answers.delete(oldest)
}

function principalOf({ id, name, role, scopes, ...own }: FoundToken, defaults: DefaultRates): Principal {
  const requestsPerSecond = own.requestsPerSecond ?? defaults.requestsPerSecond
  const entriesPerSecond = own.entriesPerSecond ?? defaults.entriesPerSecond
  const isLimited = requestsPerSecond > 0 || entriesPerSecond > 0
  return {
    role,
    identity: identityOf(name),
    ...(scopes === null ? {} : { scopes }),
    ...(isLimited ? { rates: { tokenId: id, requestsPerSecond, entriesPerSecond } } : {}),
  }
}

/** How entries and acts name the holder of a token. */
export function identityOf(name: string): string {
  return `token:${name}`
}
