import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type LeafRange, type TreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { foldPlan, planInclusionProof } from '../../tlog/proof.ts'
import { tileAtSize, tileWidth } from '../../tlog/tile.ts'
import { rootInPyramid, type TilePyramid } from '../../tlog/tile-nodes.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readRoots } from './node-reads.ts'
import type { TileCache } from './tile-cache.ts'

/** What one tile of leaf hashes says under one checkpoint: which leaves are in the tree, and their audit paths. */
export class TileProofs {
  readonly #pyramid: TilePyramid
  readonly #width: TreeSize
  readonly #hash: Sha256
  /** From the tile's own root upwards. */
  readonly #upper: readonly Hash[]
  /** Roots of slots lo to hi - 1, at lo * 512 + hi. */
  readonly #roots = new Map<number, Hash>()

  private constructor(pyramid: TilePyramid, width: TreeSize, upper: readonly Hash[], hash: Sha256) {
    this.#pyramid = pyramid
    this.#width = width
    this.#hash = hash
    this.#upper = upper
  }

  /** Checks the way from the tile's first leaf to the signed root: with it, that of all its leaves. */
  static async open(tiles: TileCache, tile: number, checkpoint: StoredCheckpoint, hash: Sha256): Promise<TileProofs> {
    const size = asTreeSize(checkpoint.treeSize)
    const { level, index, width } = tileAtSize(0, tile, size)
    const pyramid = await tiles.readPyramid(level, index, width)
    const first = asLeafIndex(tile * tileWidth)
    const lowerPlan = planInclusionProof(asLeafIndex(0), asTreeSize(width))
    const upperPlan = planInclusionProof(first, size).slice(lowerPlan.length)
    const upper = await readRoots(tiles, upperPlan, size, hash)
    const proofs = new TileProofs(pyramid, asTreeSize(width), upper, hash)
    const path = [...lowerPlan.map((range) => proofs.#rootOf(range)), ...upper]
    checkInclusion(first, size, rootInPyramid(pyramid, 0, 1), path, checkpoint.root, hash)
    return proofs
  }

  holdsLeaf(slot: number, leaf: Hash): boolean {
    return equalBytes(rootInPyramid(this.#pyramid, slot, slot + 1), leaf)
  }

  /** The audit path of a leaf. Throws `leaf-mismatch` unless the slot holds this leaf hash. */
  pathOf(slot: number, leaf: Hash): readonly Hash[] {
    if (!this.holdsLeaf(slot, leaf)) {
      throw new TlogError('leaf-mismatch', `slot ${slot} of a tile does not hold ${formatHex(leaf)}`)
    }
    const path = planInclusionProof(asLeafIndex(slot), this.#width).map((range) => this.#rootOf(range))
    for (const hash of this.#upper) path.push(hash)
    return path
  }

  #rootOf(range: LeafRange): Hash {
    const key = range.lo * 512 + range.hi
    const kept = this.#roots.get(key)
    if (kept !== undefined) return kept
    const root = this.#computeRoot(range)
    this.#roots.set(key, root)
    return root
  }

  /** Within a tile, a node of the tree has its level and index there: level 0 tiles begin at a multiple of 256. */
  #computeRoot(range: LeafRange): Hash {
    const nodeOf = ({ level, index }: { level: number; index: number }): Hash => {
      const width = 2 ** level
      return rootInPyramid(this.#pyramid, index * width, (index + 1) * width)
    }
    return foldPlan(nodeOf, [range], this.#hash)[0] as Hash
  }
}
