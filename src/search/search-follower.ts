import type { Follower } from '../follow.ts'
import type { Schema } from '../store/batch.ts'
import { extendSearch, indexSearch, readSearchPosition } from '../store/search.ts'
import type { Query } from '../store/session.ts'

/** Of one step: 50 ms or so, after which others have their turn at the database. */
const stepEntries = 16_384

/**
 * Fills the search tables behind the published log, and makes the indexes of each segment that is full: one a step.
 * Several servers may do so at once (both functions lock the position); to spare them the work, those that need not
 * fill look how far it is.
 */
export function searchFollower(query: Query, schema: Schema, mustFill: () => boolean = () => true): Follower {
  return {
    name: 'search',
    readPosition: () => readSearchPosition(query, schema),
    step: async (upTo) => {
      if (!mustFill()) return readSearchPosition(query, schema)
      // First: a segment without them is looked through from end to end.
      const isIndexed = await indexSearch(query, schema)
      return isIndexed ? readSearchPosition(query, schema) : extendSearch(query, schema, upTo, stepEntries)
    },
  }
}
