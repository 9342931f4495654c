import type { Follower } from '../follow.ts'
import type { Schema } from '../store/batch.ts'
import { extendSearch, indexSearch, readSearchPosition } from '../store/search.ts'
import type { Query } from '../store/session.ts'

/** Of one step: 50 ms or so, after which others have their turn at the database. */
const stepEntries = 16_384

/** Fills the search tables behind the published log, and makes the indexes of each segment that is full. */
export function searchFollower(query: Query, schema: Schema): Follower {
  return {
    name: 'search',
    readPosition: () => readSearchPosition(query, schema),
    step: async (upTo) => {
      // First: an interrupted server may have left a full segment without.
      while (await indexSearch(query, schema)) {
        // One more, until all have theirs.
      }
      return extendSearch(query, schema, upTo, stepEntries)
    },
  }
}
