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
 * By the newest head within the range whose seal holds; none where there is none. Of a range that begins at a multiple
 * of 65,536 nodes stand alone. What is behind that head in a full one says the next head, whose nodes run together with
 * those before the range, which heads say too.
 */
export async function readExpected(
  query: Query,
  schema: Schema,
  isSealed: SealCheck,
  { above, upTo }: { readonly above: number; readonly upTo: number },
  before?: CompactRange,
): Promise<readonly ExpectedNodes[]> {
  const read = (from: number, to: number): Promise<TreeHead | undefined> =>
    readSealed(query, schema, isSealed, from, to)
  if (above % rangeLeaves !== 0) {
    const head = before?.size === above ? await read(above + 1, upTo) : undefined
    return head === undefined ? [] : [{ count: head.treeSize - above, packed: head.frontier, before }]
  }
  const within = await read(above, Math.min(upTo, above + rangeLeaves - 1))
  const behind = upTo - above === rangeLeaves ? await read(upTo, upTo + rangeLeaves - 1) : undefined
  return [...saidWithin(within, above), ...saidBehind(within, behind, above)]
}

function saidWithin(head: TreeHead | undefined, above: number): readonly ExpectedNodes[] {
  if (head === undefined || head.treeSize === above) return []
  const count = head.treeSize - above
  return [{ count, packed: head.frontier.slice(-popcount(count) * hashBytes), before: undefined }]
}

function saidBehind(
  within: TreeHead | undefined,
  behind: TreeHead | undefined,
  above: number,
): readonly ExpectedNodes[] {
  if (behind === undefined || (within === undefined && above > 0)) return []
  const before = within === undefined ? emptyRange : beginningOf(within, above)
  return [{ count: rangeLeaves, packed: beginningOf(behind, above + rangeLeaves).hashes, before }]
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
