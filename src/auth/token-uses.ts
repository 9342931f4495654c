import { setTimeout as sleep } from 'node:timers/promises'
import { settleWithin } from '../ops/time-out.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { liveTokensMax, recordUses, type TokenUse } from '../store/tokens.ts'

const writeEveryMs = 1_000
const lastWriteMs = 2_000

/**
 * Writes down when tokens were used last. Whoever notes a use does not wait, and nothing waits for the database: what
 * cannot be written now is written when it is back. Lost if the process ends before.
 */
export class TokenUses {
  readonly #query: Query
  readonly #schema: Schema
  readonly #onFailed: (error: unknown) => void
  /** Times in microseconds since 1970, by token. */
  #unwritten = new Map<string, number>()

  /** `query` is of the login that keeps state; `onFailed` is told of each attempt that failed. */
  constructor(query: Query, schema: Schema, onFailed: (error: unknown) => void) {
    this.#query = query
    this.#schema = schema
    this.#onFailed = onFailed
  }

  note(tokenId: string, usedAt: number): void {
    if (this.#unwritten.size < liveTokensMax || this.#unwritten.has(tokenId)) this.#unwritten.set(tokenId, usedAt)
  }

  /** Writes what is noted, until `signal` aborts; then once more. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(writeEveryMs, undefined, { signal }).catch(() => {})
      if (!signal.aborted) await this.write().catch(this.#onFailed)
    }
    await settleWithin(lastWriteMs, 'record uses of tokens', this.write()).catch(this.#onFailed)
  }

  /** Writes all that is noted, in one statement. */
  async write(): Promise<void> {
    if (this.#unwritten.size === 0) return
    const uses: TokenUse[] = [...this.#unwritten]
    this.#unwritten = new Map()
    try {
      await recordUses(this.#query, this.#schema, uses)
    } catch (error) {
      // What was noted meanwhile is newer.
      for (const [tokenId, usedAt] of this.#unwritten) uses.push([tokenId, usedAt])
      this.#unwritten = new Map(uses.slice(-liveTokensMax))
      throw error
    }
  }
}
