import type { Hash } from '../../tlog/hash.ts'
import { Following, type FollowOptions } from '../follow.ts'
import type { Schema } from '../store/batch.ts'
import { findLeaf, type NumberRange } from '../store/search.ts'
import type { Pool, Query } from '../store/session.ts'
import { type Found, type Search, searchRange } from './search.ts'
import { searchFollower } from './search-follower.ts'
import { SearchProof, type SearchProofOptions } from './search-proof.ts'

/** The search tables, and the follower that fills them. */
export type SearchTables = {
  /** Up to which entry they go, as far as this server knows. */
  readonly position: () => number
  /** So many of them, from the first on, were compared with the tree and found right. */
  readonly provenSize: () => number
  readonly find: (search: Search, range: NumberRange, limit: number, untilMs: number) => Promise<Found>
  /** The lowest number of an entry up to `upTo` with this leaf hash. */
  readonly findLeaf: (leaf: Hash, upTo: number) => Promise<number | undefined>
  /** Follows the published log, and proves what is there, until `signal` aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

export type SearchTablesOptions = FollowOptions & {
  readonly proof: Pick<SearchProofOptions, 'readEntries' | 'onDefects' | 'timing'>
  /** Whether this server fills them; otherwise it looks how far another has come. Absent: it does. */
  readonly mustFill?: () => boolean
}

/** Both queries are of the login that keeps state; the follower's has statements of many seconds. */
export function openSearchTables(
  queries: { readonly read: Pick<Pool, 'query' | 'queryNamed'>; readonly follow: Query },
  schema: Schema,
  options: SearchTablesOptions,
): SearchTables {
  const following = new Following(searchFollower(queries.follow, schema, options.mustFill), options)
  const proof = new SearchProof(queries.follow, schema, {
    ...options.proof,
    publishedSize: options.publishedSize,
    searchedSize: () => following.position ?? 0,
    onFailed: options.onFailed,
  })
  return {
    provenSize: () => proof.provenSize,
    position: () => following.position ?? 0,
    find: (search, range, limit, untilMs) => searchRange(queries.read.query, schema, search, range, limit, untilMs),
    findLeaf: (leaf, upTo) => findLeaf(queries.read.queryNamed, schema, leaf, upTo),
    run: async (signal) => {
      await Promise.all([following.run(signal), proof.run(signal)])
    },
  }
}
