import { type CompactRange, emptyRange } from '../../tlog/compact-range.ts'
import { asTreeSize, popcount } from '../../tlog/coords.ts'
import { hashBytes } from '../../tlog/hash.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
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
 * multiple of 65,536 nodes stand alone, unless it is full: they run together with those before it, which the heads say
 * too.
 */
export async function readExpected(
  query: Query,
  schema: Schema,
  isSealed: SealCheck,
  { above, upTo }: { readonly above: number; readonly upTo: number },
  before?: CompactRange,
): Promise<ExpectedNodes | undefined> {
  const read = (from: number, to: number): Promise<TreeHead | undefined> =>
    readSealed(query, schema, isSealed, from, to)
  if (above % rangeLeaves !== 0) {
    if (before?.size !== above) return undefined
    const head = await read(above + 1, upTo)
    return head && { count: head.treeSize - above, packed: head.frontier, before }
  }
  const within = await read(above, Math.min(upTo, above + rangeLeaves - 1))
  const behind = upTo - above === rangeLeaves ? await read(upTo, upTo + rangeLeaves - 1) : undefined
  if (behind !== undefined && (within !== undefined || above === 0)) {
    const known = within === undefined ? emptyRange : beginningOf(within, above)
    return { count: rangeLeaves, packed: beginningOf(behind, upTo).hashes, before: known }
  }
  if (within === undefined || within.treeSize === above) return undefined
  const count = within.treeSize - above
  return { count, packed: within.frontier.slice(-popcount(count) * hashBytes), before: undefined }
}

/** The tree of `size`, a multiple of 65,536, by a head that has fewer than 65,536 entries more: its nodes begin alike. */
function beginningOf({ frontier }: TreeHead, size: number): CompactRange {
  return { size: asTreeSize(size), hashes: frontier.slice(0, popcount(size) * hashBytes) }
}

/** The newest head of sizes `from` to `to` whose seal holds, and whose nodes are as many as they must be. */
async function readSealed(
  query: Query,
  schema: Schema,
  isSealed: SealCheck,
  from: number,
  to: number,
): Promise<TreeHead | undefined> {
  const heads = await readHeadsDown(query, schema, from - 1, to, headsMax)
  for (const head of heads) {
    if (head.kind === 'unreadable' || isSealed?.(head.value) === false) continue
    if (head.value.frontier.length === popcount(head.value.treeSize) * hashBytes) return head.value
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
