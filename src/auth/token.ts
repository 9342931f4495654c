import { hash, randomBytes } from 'node:crypto'
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

type Kept = { readonly principal: Promise<Principal | undefined>; readonly untilMs: number }

/**
 * Finds the principal of a bearer token. What is looked up is a keyed hash of the secret, so that neither the database
 * nor the time of a look-up says anything about secrets. An answer is kept for 5 s: so long a revoked token may live.
 */
export class TokenAuthenticator {
  readonly #query: Query
  readonly #schema: Schema
  readonly #hashSecret: (secret: string) => Uint8Array
  readonly #kept = new Map<string, Kept>()

  constructor(query: Query, schema: Schema, hashSecret: (secret: string) => Uint8Array) {
    this.#query = query
    this.#schema = schema
    this.#hashSecret = hashSecret
  }

  /** Undefined where the token is unknown, expired or revoked. Rejects when the database cannot be asked. */
  async authenticate(secret: string): Promise<Principal | undefined> {
    if (secret.length > secretBytesMax) return undefined
    // Answers are found by a hash too: to compare secrets themselves would take the longer the more of one is right.
    const key = hash('sha256', secret, 'base64')
    const now = performance.now()
    const kept = this.#kept.get(key)
    return kept !== undefined && kept.untilMs > now ? kept.principal : this.#find(key, secret, now)
  }

  /** The promise is kept, not its result: a thousand requests at once ask the database once. */
  #find(key: string, secret: string, now: number): Promise<Principal | undefined> {
    const principal = findToken(this.#query, this.#schema, this.#hashSecret(secret)).then(principalOf)
    if (this.#kept.size >= keptMax) this.#kept.clear()
    this.#kept.set(key, { principal, untilMs: now + keptMs })
    principal.catch(() => this.#kept.delete(key))
    return principal
  }
}

function principalOf(token: StoredToken | undefined): Principal | undefined {
  return token === undefined ? undefined : { role: token.role, identity: `token:${token.name}` }
}
