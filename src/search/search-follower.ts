import type { Follower } from '../follow.ts'
import type { Schema } from '../store/batch.ts'
import { extendSearch, indexSearch, indexSearchTail, readSearchPosition } from '../store/search.ts'
import type { Query } from '../store/session.ts'

/** Of one step: 50 ms or so, after which others have their turn at the database. */
const stepEntries = 16_384

/** Of a segment that is not full: fewer are looked through in a millisecond. */
const tailRowsMin = 8_192

/**
 * Fills the search tables behind the published log, and makes the indexes of each segment that is full: one a step, while
 * the next one is filled. A segment takes eight steps to fill and seven for its indexes, so that no more than one is
 * without. Several servers may do so at once (both functions lock their position); to spare them the work, those that
 * need not fill look how far it is.
 */
export function searchFollower(query: Query, schema: Schema, mustFill: () => boolean = () => true): Follower {
  let position: number | undefined
  return {
    name: 'search',
    readPosition: async () => {
      position = await readSearchPosition(query, schema)
      return position
    },
    step: async (upTo) => {
      const before = position ?? (await readSearchPosition(query, schema))
      if (!mustFill()) {
        position = await readSearchPosition(query, schema)
        return { position, hasWorked: false }
      }
      // Both have ended before another step begins, also where one failed.
      const [indexed, extended] = await Promise.allSettled([
        indexSearch(query, schema),
        extendSearch(query, schema, upTo, stepEntries),
      ])
      if (indexed.status === 'rejected') throw indexed.reason
      if (extended.status === 'rejected') throw extended.reason
      position = extended.value
      const hasWorked = indexed.value || position > before || (await indexSearchTail(query, schema, tailRowsMin))
      return { position, hasWorked }
    },
  }
}
