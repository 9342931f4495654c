import type { LeafRange, TreeNode, TreeSize } from '../../tlog/coords.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { foldPlan, nodesOfRange } from '../../tlog/proof.ts'
import { tileAtSize, tileWidth } from '../../tlog/tile.ts'
import {
  isInPart,
  midWidth,
  rootInPart,
  rootInPyramid,
  slotsOfNode,
  type TilePart,
  type TilePyramid,
  type TileSlots,
} from '../../tlog/tile-nodes.ts'
import type { TileCache } from './tile-cache.ts'

/** Nodes of one tile, in the order in which they are wanted; of leaves, all of the same 16 or from above them. */
type Stretch = { readonly level: number; readonly index: number; readonly group: number; readonly slots: TileSlots[] }
type Source = TilePyramid | TilePart

/**
 * The roots of the ranges of a plan in a tree of `size` leaves, from as little of its tiles as they take: of a tile of
 * leaf hashes one part, unless it is kept. Nothing is checked: check the proof before it leaves the house.
 */
export async function readRoots(
  tiles: TileCache,
  plan: readonly LeafRange[],
  size: TreeSize,
  hash: Sha256,
): Promise<Hash[]> {
  const nodes = plan.flatMap(nodesOfRange)
  const stretches = stretchesOf(nodes)
  const sources = stretches.map((stretch) => sourceOf(tiles, stretch, size))
  const isAtHand = sources.every((source) => !(source instanceof Promise))
  const read = isAtHand ? (sources as Source[]) : await Promise.all(sources)
  const hashes = stretches.flatMap(({ slots }, i) => slots.map((each) => rootIn(read[i] as Source, each, hash)))
  let next = 0
  return foldPlan(() => hashes[next++] as Hash, plan, hash)
}

function stretchesOf(nodes: readonly TreeNode[]): Stretch[] {
  const stretches: Stretch[] = []
  let last: Stretch | undefined
  for (const node of nodes) {
    const slots = slotsOfNode(node)
    const { level, index, from, to } = slots
    if (last?.level !== level || last.index !== index || !isInPart(last.group, from, to)) {
      last = { level, index, group: Math.floor(from / midWidth), slots: [] }
      stretches.push(last)
    }
    last.slots.push(slots)
  }
  return stretches
}

function sourceOf(tiles: TileCache, { level, index, group }: Stretch, size: TreeSize): Source | Promise<Source> {
  const { width } = tileAtSize(level, index, size)
  // Upper tiles are few, and every proof needs some: they are worth keeping.
  return level > 0 || width < tileWidth ? tiles.readPyramid(level, index, width) : tiles.readPart(level, index, group)
}

function rootIn(source: Source, { from, to }: TileSlots, hash: Sha256): Hash {
  return 'midRoots' in source ? rootInPart(source, from, to, hash) : rootInPyramid(source, from, to)
}
