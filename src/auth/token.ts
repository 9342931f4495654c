import { hash, randomBytes } from 'node:crypto'
import { Unavailable } from '../log/incident.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { findToken, type StoredToken } from '../store/tokens.ts'
import type { Principal } from './principal.ts'

/** 256 random bits; the prefix is for secret scanners. */
export function createTokenSecret(): string {
  return `dendrolog_${randomBytes(32).toString('base64url')}`
}

const secretBytesMax = 256
const keptMs = 5_000
const keptMax = 10_000
/** Unknown tokens that are looked up at the same time: some 10 ms of a database's time. */
const lookupsMax = 32

type Found = Principal | undefined
type Kept = { readonly principal: Found; readonly untilMs: number }

/**
 * Finds the principal of a bearer token. What is looked up is a keyed hash of the secret, so that neither the database
 * nor the time of a look-up says anything about secrets. An answer is kept for 5 s: so long a revoked token may live.
 *
 * A flood of made-up tokens must not keep out who has a good one. Good and bad answers are kept apart, so that neither
 * pushes the other out; few unknown tokens are looked up at once; one that was good lately is always looked up.
 */
export class TokenAuthenticator {
  readonly #query: Query
  readonly #schema: Schema
  readonly #hashSecret: (secret: string) => Uint8Array
  /** Oldest first. A good answer stays when its time is over: its token comes again. */
  readonly #good = new Map<string, Kept>()
  readonly #bad = new Map<string, Kept>()
  /** The promise is kept too: a thousand requests at once ask the database once. */
  readonly #asked = new Map<string, Promise<Found>>()
  #unknownAsked = 0

  constructor(query: Query, schema: Schema, hashSecret: (secret: string) => Uint8Array) {
    this.#query = query
    this.#schema = schema
    this.#hashSecret = hashSecret
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

  async #find(key: string, secret: string): Promise<Found> {
    const principal = principalOf(await findToken(this.#query, this.#schema, this.#hashSecret(secret)))
    this.#good.delete(key)
    this.#bad.delete(key)
    const answers = principal === undefined ? this.#bad : this.#good
    answers.set(key, { principal, untilMs: performance.now() + keptMs })
    const [oldest] = answers.keys()
    if (answers.size > keptMax && oldest !== undefined) answers.delete(oldest)
    return principal
  }
}

function principalOf(token: StoredToken | undefined): Found {
  return token === undefined ? undefined : { role: token.role, identity: `token:${token.name}` }
}
