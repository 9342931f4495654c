import { asLeafIndex, asTreeSize, type LeafIndex, type TreeSize } from '../../tlog/coords.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { planInclusionProof } from '../../tlog/proof.ts'
import { tileWidth } from '../../tlog/tile.ts'
import {
  levelsPerTile,
  midWidth,
  rootInPart,
  rootInPyramid,
  type TilePart,
  type TilePyramid,
} from '../../tlog/tile-nodes.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readRoots } from './node-reads.ts'
import { proveInclusionAt } from './proofs.ts'
import type { TileCache } from './tile-cache.ts'

/** A leaf hash as the tree has it, and its audit path. */
export type LeafProof = { readonly leafHash: Hash; readonly hashes: readonly Hash[] }

/** Leaves below one full tile of level 1. */
const leavesBelow = tileWidth ** 2
/** Of a hundred million entries a sixth, some 3 MB. */
const upperMax = 256

/**
 * Proofs of leaves from all over the tree, each checked before it is handed out. What is above a tile of level 1 is read
 * and checked once a checkpoint, and then a proof takes 30 hashes and not 46. Without a look at the ledger, whose old rows
 * may be archived.
 */
export class LeafProofs {
  readonly #tiles: TileCache
  readonly #hash: Sha256
  #checkpoint: StoredCheckpoint | undefined
  #upper = new Map<number, Promise<UpperTile>>()

  constructor(tiles: TileCache, hash: Sha256) {
    this.#tiles = tiles
    this.#hash = hash
  }

  /** The proof under a checkpoint. Throws where the tiles are not those of its root. */
  async prove(leafIndex: number, checkpoint: StoredCheckpoint): Promise<LeafProof> {
    const index = asLeafIndex(leafIndex)
    const upperIndex = Math.floor(index / leavesBelow)
    if ((upperIndex + 1) * leavesBelow > checkpoint.treeSize) {
      return proveByPlan(this.#tiles, index, asTreeSize(checkpoint.treeSize), checkpoint.root, this.#hash)
    }
    const upper = await this.#upperOf(upperIndex, checkpoint)
    const tile = Math.floor(index / tileWidth)
    const slot = index % tileWidth
    const source = await this.#tiles.readPart(0, tile, Math.floor(slot / midWidth))
    const { leafHash, hashes } = pathInTile(source, slot, this.#hash)
    const root = rootInPyramid(upper.pyramid, tile % tileWidth, (tile % tileWidth) + 1)
    checkInclusion(asLeafIndex(slot), asTreeSize(tileWidth), leafHash, hashes, root, this.#hash)
    for (const sibling of upper.pathOf(tile % tileWidth)) hashes.push(sibling)
    return { leafHash, hashes }
  }

  /** The audit path in the tree of `size` leaves, which the checkpoint extends; `index` < `size`. Throws likewise. */
  async proveAt(index: LeafIndex, size: TreeSize, checkpoint: StoredCheckpoint): Promise<readonly Hash[]> {
    if (size === checkpoint.treeSize) return (await this.prove(index, checkpoint)).hashes
    return proveInclusionAt(this.#tiles, index, size, checkpoint, this.#hash)
  }

  #upperOf(index: number, checkpoint: StoredCheckpoint): Promise<UpperTile> {
    if (checkpoint.number > (this.#checkpoint?.number ?? -1)) {
      this.#checkpoint = checkpoint
      this.#upper = new Map()
    }
    if (checkpoint !== this.#checkpoint) return UpperTile.open(this.#tiles, index, checkpoint, this.#hash)
    const kept = this.#upper.get(index)
    if (kept !== undefined) return kept
    const opened = UpperTile.open(this.#tiles, index, checkpoint, this.#hash)
    const [oldest] = this.#upper.keys()
    if (this.#upper.size >= upperMax && oldest !== undefined) this.#upper.delete(oldest)
    this.#upper.set(index, opened)
    opened.catch(() => this.#upper.delete(index))
    return opened
  }
}

/** The proof of a leaf in the tree of `size` leaves with this root, from its whole path. */
async function proveByPlan(
  tiles: TileCache,
  index: LeafIndex,
  size: TreeSize,
  root: Hash,
  hash: Sha256,
): Promise<LeafProof> {
  const plan = [{ lo: index, hi: index + 1 }, ...planInclusionProof(index, size)]
  const [leafHash, ...hashes] = await readRoots(tiles, plan, size, hash)
  checkInclusion(index, size, leafHash as Hash, hashes, root, hash)
  return { leafHash: leafHash as Hash, hashes }
}

/** A full tile of level 1 that is under a checkpoint, and the path from its root upwards. */
class UpperTile {
  readonly pyramid: TilePyramid
  readonly #above: readonly Hash[]

  private constructor(pyramid: TilePyramid, above: readonly Hash[]) {
    this.pyramid = pyramid
    this.#above = above
  }

  /** Checks the way from its first leaf to the signed root: siblings come from all its slots, so that all are checked. */
  static async open(tiles: TileCache, index: number, checkpoint: StoredCheckpoint, hash: Sha256): Promise<UpperTile> {
    const size = asTreeSize(checkpoint.treeSize)
    const first = asLeafIndex(index * leavesBelow)
    const pyramid = await tiles.readPyramid(1, index, tileWidth)
    const { leafHash, hashes } = await proveByPlan(tiles, first, size, checkpoint.root, hash)
    const upper = new UpperTile(pyramid, hashes.slice(2 * levelsPerTile))
    const path = [...hashes.slice(0, levelsPerTile), ...upper.pathOf(0)]
    checkInclusion(first, size, leafHash, path, checkpoint.root, hash)
    return upper
  }

  /** The audit path of a slot, up to the root of the tree. */
  pathOf(slot: number): readonly Hash[] {
    return [...pathInPyramid(this.pyramid, slot), ...this.#above]
  }
}

function pathInTile(source: TilePart | TilePyramid, slot: number, hash: Sha256): { leafHash: Hash; hashes: Hash[] } {
  if (!('midRoots' in source))
    return { leafHash: rootInPyramid(source, slot, slot + 1), hashes: pathInPyramid(source, slot) }
  const rootOf = (from: number, to: number): Hash => rootInPart(source, from, to, hash)
  return { leafHash: rootOf(slot, slot + 1), hashes: siblingsOf(slot, rootOf) }
}

function pathInPyramid(pyramid: TilePyramid, slot: number): Hash[] {
  return siblingsOf(slot, (from, to) => rootInPyramid(pyramid, from, to))
}

/** The roots next to a slot's way up through a full tile. */
function siblingsOf(slot: number, rootOf: (from: number, to: number) => Hash): Hash[] {
  const hashes: Hash[] = []
  for (let width = 1; width < tileWidth; width *= 2) {
    const at = Math.floor(slot / width)
    const sibling = at % 2 === 0 ? at + 1 : at - 1
    hashes.push(rootOf(sibling * width, (sibling + 1) * width))
  }
  return hashes
}
