import { concatBytes } from './bytes.ts'
import { foldRight } from './compact-range.ts'
import { type LeafIndex, type LeafRange, splitPoint, type TreeNode, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { type Hash, nobleSha256, type Sha256 } from './hash.ts'
import type { TileReader } from './log-reader.ts'
import { checkTileLength, type TileCoord, tileAtSize } from './tile.ts'
import { rootOfSlots, slotsOfNode } from './tile-nodes.ts'

// A proof is a list of roots of ranges of leaves. First the ranges are planned, then the nodes that make them up are
// looked up in tiles. Everything here trusts the tiles: check the proof, or the tiles, before it leaves the house.

/** Bytes of a tile, 32 * `coord.width`. May be asked for the same tile more than once. */
export type NodeLookup = (node: TreeNode) => Hash
export type TileLookup = (coord: TileCoord) => Uint8Array

/** The ranges of the audit path PATH(index, size), sibling of the leaf first (RFC 6962 2.1.1). */
export function planInclusionProof(index: LeafIndex, size: TreeSize): LeafRange[] {
  if (index >= size) throw new TlogError('out-of-range', `inclusion proof: leaf ${index} of ${size}`)
  const plan: LeafRange[] = []
  let lo = 0
  let hi: number = size
  while (hi - lo > 1) {
    const middle = lo + splitPoint(hi - lo)
    plan.push(index < middle ? { lo: middle, hi } : { lo, hi: middle })
    if (index < middle) hi = middle
    else lo = middle
  }
  return plan.reverse()
}

/**
 * The ranges of the consistency proof PROOF(from, to), lowest first (RFC 6962 2.1.2). Throws `out-of-range` unless
 * 0 < `from` <= `to`: from the empty tree there is no proof.
 */
export function planConsistencyProof(from: TreeSize, to: TreeSize): LeafRange[] {
  if (from === 0 || from > to) throw new TlogError('out-of-range', `consistency proof: from ${from} to ${to}`)
  const plan: LeafRange[] = []
  let lo = 0
  let hi: number = to
  while (from !== hi) {
    const middle = lo + splitPoint(hi - lo)
    plan.push(from <= middle ? { lo: middle, hi } : { lo, hi: middle })
    if (from <= middle) hi = middle
    else lo = middle
  }
  // Where the old tree is no node of the new one, its last perfect subtree is where the two part.
  if (lo > 0) plan.push({ lo, hi })
  return plan.reverse()
}

/** The perfect subtrees that make up a range of a proof's plan, biggest first. */
export function nodesOfRange({ lo, hi }: LeafRange): TreeNode[] {
  const nodes: TreeNode[] = []
  for (let at = lo; at < hi; ) {
    let level = 0
    let width = 1
    while (at % (2 * width) === 0 && at + 2 * width <= hi) {
      level++
      width *= 2
    }
    nodes.push({ level, index: at / width })
    at += width
  }
  return nodes
}

/** The audit path of a leaf in a tree of `size` leaves, leaf's sibling first. Throws `out-of-range`, `malformed-tile`. */
export function buildInclusionProof(
  reader: TileReader,
  index: LeafIndex,
  size: TreeSize,
  hash: Sha256 = nobleSha256,
): Promise<Hash[]> {
  return readHashesOfPlan(reader, planInclusionProof(index, size), size, hash)
}

/** The proof that `to` leaves extend the first `from`. Throws `out-of-range`, `malformed-tile`. */
export function buildConsistencyProof(
  reader: TileReader,
  from: TreeSize,
  to: TreeSize,
  hash: Sha256 = nobleSha256,
): Promise<Hash[]> {
  return readHashesOfPlan(reader, planConsistencyProof(from, to), to, hash)
}

/** `buildInclusionProof` where all tiles are at hand. */
export function inclusionProofFromTiles(
  tileOf: TileLookup,
  index: LeafIndex,
  size: TreeSize,
  hash: Sha256 = nobleSha256,
): Hash[] {
  return hashesOfPlan(tileOf, planInclusionProof(index, size), size, hash)
}

/** `buildConsistencyProof` where all tiles are at hand. */
export function consistencyProofFromTiles(
  tileOf: TileLookup,
  from: TreeSize,
  to: TreeSize,
  hash: Sha256 = nobleSha256,
): Hash[] {
  return hashesOfPlan(tileOf, planConsistencyProof(from, to), to, hash)
}

/** The tiles, each once, from which the hashes of a plan are computed; as wide as a tree of `size` has them. */
export function tilesOfPlan(plan: readonly LeafRange[], size: TreeSize): TileCoord[] {
  const tiles = new Map<string, TileCoord>()
  for (const node of plan.flatMap(nodesOfRange)) {
    const { level, index } = slotsOfNode(node)
    tiles.set(tileKey(level, index), tileAtSize(level, index, size))
  }
  return [...tiles.values()]
}

/** The root of each range of a plan. Throws `malformed-tile` for a tile of the wrong length. */
export function hashesOfPlan(
  tileOf: TileLookup,
  plan: readonly LeafRange[],
  size: TreeSize,
  hash: Sha256 = nobleSha256,
): Hash[] {
  return foldPlan((node) => nodeFromTiles(tileOf, node, size, hash), plan, hash)
}

/** The root of each range of a plan, from whoever knows the perfect subtrees of the tree. */
export function foldPlan(nodeOf: NodeLookup, plan: readonly LeafRange[], hash: Sha256 = nobleSha256): Hash[] {
  return plan.map((range) => {
    const nodes = nodesOfRange(range).map(nodeOf)
    return nodes.length === 1 ? (nodes[0] as Hash) : foldRight(concatBytes(...nodes), hash)
  })
}

/** Reads the tiles of a plan, each once and all at the same time, and computes its hashes. */
export async function readHashesOfPlan(
  reader: TileReader,
  plan: readonly LeafRange[],
  size: TreeSize,
  hash: Sha256 = nobleSha256,
): Promise<Hash[]> {
  const coords = tilesOfPlan(plan, size)
  const tiles = await Promise.all(coords.map(({ level, index, width }) => reader.readTile(level, index, width)))
  const byKey = new Map(coords.map(({ level, index }, i) => [tileKey(level, index), tiles[i] as Uint8Array]))
  return hashesOfPlan(({ level, index }) => byKey.get(tileKey(level, index)) as Uint8Array, plan, size, hash)
}

function nodeFromTiles(tileOf: TileLookup, node: TreeNode, size: TreeSize, hash: Sha256): Hash {
  const { level, index, from, to } = slotsOfNode(node)
  const coord = tileAtSize(level, index, size)
  const tile = tileOf(coord)
  checkTileLength(coord, tile)
  return rootOfSlots(tile, from, to, hash)
}

function tileKey(level: number, index: number): string {
  return `${level}/${index}`
}
