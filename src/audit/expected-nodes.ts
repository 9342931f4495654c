import type { CompactRange } from '../../tlog/compact-range.ts'
import { popcount } from '../../tlog/coords.ts'
import { hashBytes } from '../../tlog/hash.ts'
import type { Schema } from '../store/batch.ts'
import { readHeadSize, readHeadsDown } from '../store/head-reads.ts'
import type { Query } from '../store/session.ts'
import { rangeLeaves } from './range-nodes.ts'
import type { SealCheck } from './seal-check.ts'

/** What a head says of the tree over the first `count` leaves of a range. */
export type ExpectedNodes = {
  readonly count: number
  /** Packed, biggest first: of these leaves alone, or behind those of `before` where that is given. */
  readonly packed: Uint8Array
  /** The tree before the range, where that begins within a tile of level 1. */
  readonly before: CompactRange | undefined
}

/** Looked at for one whose seal holds. */
const headsMax = 20

/**
 * By the newest head within the range whose seal holds; undefined where there is none. Of a range that begins at a
 * multiple of 65,536 nodes stand alone, unless it is full: they run together with those before it.
 */
export async function readExpected(
  query: Query,
  schema: Schema,
  isSealed: SealCheck,
  { above, upTo }: { readonly above: number; readonly upTo: number },
  before?: CompactRange,
): Promise<ExpectedNodes | undefined> {
  const isAligned = above % rangeLeaves === 0
  if (!isAligned && before?.size !== above) return undefined
  const last = isAligned ? Math.min(upTo, above + rangeLeaves - 1) : upTo
  for (const head of await readHeadsDown(query, schema, above, last, headsMax)) {
    if (head.kind === 'unreadable' || isSealed?.(head.value) === false) continue
    const { treeSize, frontier } = head.value
    const count = treeSize - above
    return isAligned
      ? { count, packed: frontier.slice(-popcount(count) * hashBytes), before: undefined }
      : { count, packed: frontier, before }
  }
  return undefined
}

/** New entries, of which a step takes `stepEntries` behind `above`, or some more. */
export type Tail = {
  readonly above: number
  readonly verified: number
  readonly size: number
  readonly stepEntries: number
}

/** Where a step ends: at a head, which so says something of all of it, and within the length of a range. */
export async function readTailEnd(query: Query, schema: Schema, tail: Tail): Promise<number> {
  const { above, verified, size, stepEntries } = tail
  const upTo = Math.min(size, above + stepEntries)
  const head = (await readHeadSize(query, schema, verified, upTo)) ?? upTo
  return Math.min(head, size, above + rangeLeaves)
}
