import { asTreeSize, type LeafIndex, type TreeSize } from '../../tlog/coords.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { planConsistencyProof } from '../../tlog/proof.ts'
import { checkConsistency } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readRoots } from './node-reads.ts'
import { type LeafProof, ProvenTree } from './proven-tree.ts'
import type { TileCache } from './tile-cache.ts'

/** Sizes that proofs are asked for at the same time: those of the newest checkpoints, and some that others hold. */
const treesMax = 16

/**
 * Proofs for any size up to that of a checkpoint, each checked before it is handed out: against the root of its own size,
 * and that, once, against the signed one. A damaged tile gives no proof instead of a wrong one. All comes from tiles,
 * without a look at the ledger, whose old rows may be archived.
 */
export class TreeProofs {
  readonly #tiles: TileCache
  readonly #hash: Sha256
  /** By size; the one that was used last comes last. A size has one root, so that a tree is good under every later checkpoint. */
  readonly #trees = new Map<number, ProvenTree>()

  constructor(tiles: TileCache, hash: Sha256) {
    this.#tiles = tiles
    this.#hash = hash
  }

  /** The proof of a leaf under a checkpoint. Throws where the tiles are not those of its root. */
  prove(index: LeafIndex, checkpoint: StoredCheckpoint): Promise<LeafProof> {
    return this.#signedTree(checkpoint).prove(index, asTreeSize(checkpoint.treeSize))
  }

  /** The audit path in the tree of `size` leaves, which the checkpoint extends; `index` < `size`. Throws likewise. */
  async proveAt(index: LeafIndex, size: TreeSize, checkpoint: StoredCheckpoint): Promise<readonly Hash[]> {
    const tree = this.#knownTree(size, checkpoint) ?? (await this.#readTree(size, checkpoint))
    return (await tree.prove(index, asTreeSize(checkpoint.treeSize))).hashes
  }

  /**
   * The proof that `to` leaves extend the first `from`; 0 <= `from` <= `to` <= the checkpoint's size. Everything extends
   * the empty tree, and a tree itself, without hashes. Throws likewise.
   */
  async proveConsistency(from: TreeSize, to: TreeSize, checkpoint: StoredCheckpoint): Promise<readonly Hash[]> {
    if (from === 0 || from === to) return []
    const tree = this.#knownTree(to, checkpoint) ?? (await this.#readTree(to, checkpoint))
    return (await this.#readExtension(from, tree, checkpoint)).hashes
  }

  #signedTree({ treeSize, root }: StoredCheckpoint): ProvenTree {
    return this.#find(treeSize) ?? this.#keep(asTreeSize(treeSize), root)
  }

  #knownTree(size: TreeSize, checkpoint: StoredCheckpoint): ProvenTree | undefined {
    return size === checkpoint.treeSize ? this.#signedTree(checkpoint) : this.#find(size)
  }

  /** The tree of an older size, when it is shown to be the beginning of the signed one. */
  async #readTree(size: TreeSize, checkpoint: StoredCheckpoint): Promise<ProvenTree> {
    const { root } = await this.#readExtension(size, this.#signedTree(checkpoint), checkpoint)
    return this.#keep(size, root)
  }

  /** Root of the first `from` leaves of a tree, and the proof that it extends them; checked. */
  async #readExtension(
    from: TreeSize,
    { size, root: toRoot }: ProvenTree,
    { treeSize }: StoredCheckpoint,
  ): Promise<{ readonly root: Hash; readonly hashes: readonly Hash[] }> {
    const plan = [{ lo: 0, hi: from }, ...planConsistencyProof(from, size)]
    const [root, ...hashes] = await readRoots(this.#tiles, plan, asTreeSize(treeSize), this.#hash)
    checkConsistency(from, size, root as Hash, toRoot, hashes, this.#hash)
    return { root: root as Hash, hashes }
  }

  #find(size: number): ProvenTree | undefined {
    const tree = this.#trees.get(size)
    if (tree === undefined) return undefined
    this.#trees.delete(size)
    this.#trees.set(size, tree)
    return tree
  }

  #keep(size: TreeSize, root: Hash): ProvenTree {
    const tree = new ProvenTree(this.#tiles, size, root, this.#hash)
    this.#trees.set(size, tree)
    const [oldest] = this.#trees.keys()
    if (this.#trees.size > treesMax && oldest !== undefined) this.#trees.delete(oldest)
    return tree
  }
}
