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
import { checkInclusion, checkRoot } from '../../tlog/verify.ts'
import { readRoots } from './node-reads.ts'
import type { TileCache } from './tile-cache.ts'

/** A leaf hash as the tree has it, and its audit path. */
export type LeafProof = { readonly leafHash: Hash; readonly hashes: readonly Hash[] }

/** Leaves below one full tile of level 1. */
const leavesBelow = tileWidth ** 2
/** Some hundred bytes each. */
const upperMax = 256

/**
 * The tree of a size whose root is known to be right. What is above a tile of level 1 is read and checked once, and then
 * the proof of a leaf takes 30 hashes and not 46.
 */
export class ProvenTree {
  readonly size: TreeSize
  readonly root: Hash
  readonly #tiles: TileCache
  readonly #hash: Sha256
  /** By the index of the tile of level 1. */
  readonly #upper = new Map<number, Promise<UpperTile>>()

  constructor(tiles: TileCache, size: TreeSize, root: Hash, hash: Sha256) {
    this.size = size
    this.root = root
    this.#tiles = tiles
    this.#hash = hash
  }

  /**
   * The proof of a leaf; `index` < `size` <= `published`, of which size tiles are read: later ones only extend them. Throws
   * where they are not those of the root.
   */
  async prove(index: LeafIndex, published: TreeSize): Promise<LeafProof> {
    const upperIndex = Math.floor(index / leavesBelow)
    if ((upperIndex + 1) * leavesBelow > this.size) return this.#proveByPlan(index, published)
    const { root, above } = await this.#upperOf(upperIndex, published)
    const pyramid = await this.#tiles.readPyramid(1, upperIndex, tileWidth)
    checkRoot('inclusion-mismatch', `tile ${upperIndex} of level 1`, rootInPyramid(pyramid, 0, tileWidth), root)
    const tile = Math.floor(index / tileWidth)
    const slot = index % tileWidth
    const source = await this.#tiles.readPart(0, tile, Math.floor(slot / midWidth))
    const { leafHash, hashes } = pathInTile(source, slot, this.#hash)
    const upperSlot = tile % tileWidth
    const tileRoot = rootInPyramid(pyramid, upperSlot, upperSlot + 1)
    checkInclusion(asLeafIndex(slot), asTreeSize(tileWidth), leafHash, hashes, tileRoot, this.#hash)
    return { leafHash, hashes: [...hashes, ...pathInPyramid(pyramid, upperSlot), ...above] }
  }

  /** From the whole path: at the right edge subtrees are not full. */
  async #proveByPlan(index: LeafIndex, published: TreeSize): Promise<LeafProof> {
    const plan = [{ lo: index, hi: index + 1 }, ...planInclusionProof(index, this.size)]
    const [leafHash, ...hashes] = await readRoots(this.#tiles, plan, published, this.#hash)
    checkInclusion(index, this.size, leafHash as Hash, hashes, this.root, this.#hash)
    return { leafHash: leafHash as Hash, hashes }
  }

  #upperOf(index: number, published: TreeSize): Promise<UpperTile> {
    const kept = this.#upper.get(index)
    if (kept !== undefined) return kept
    const reading = this.#readUpper(index, published)
    const [oldest] = this.#upper.keys()
    if (this.#upper.size >= upperMax && oldest !== undefined) this.#upper.delete(oldest)
    this.#upper.set(index, reading)
    reading.catch(() => this.#upper.delete(index))
    return reading
  }

  /** By the way from its first leaf to the root: siblings are made of all its slots, so that the root of all is checked. */
  async #readUpper(index: number, published: TreeSize): Promise<UpperTile> {
    const first = asLeafIndex(index * leavesBelow)
    const { leafHash, hashes } = await this.#proveByPlan(first, published)
    const pyramid = await this.#tiles.readPyramid(1, index, tileWidth)
    const lower = hashes.slice(0, levelsPerTile)
    const above = hashes.slice(2 * levelsPerTile)
    checkInclusion(asLeafIndex(0), asTreeSize(tileWidth), leafHash, lower, rootInPyramid(pyramid, 0, 1), this.#hash)
    const path = [...lower, ...pathInPyramid(pyramid, 0), ...above]
    checkInclusion(first, this.size, leafHash, path, this.root, this.#hash)
    return { root: rootInPyramid(pyramid, 0, tileWidth), above }
  }
}

/** Root of a full tile of level 1, which is under the root of the tree, and the path from there upwards. */
type UpperTile = { readonly root: Hash; readonly above: readonly Hash[] }

function pathInTile(source: TilePart | TilePyramid, slot: number, hash: Sha256): LeafProof {
  if (!('midRoots' in source)) {
    return { leafHash: rootInPyramid(source, slot, slot + 1), hashes: pathInPyramid(source, slot) }
  }
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
