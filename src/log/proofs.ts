import { asTreeSize, type LeafIndex, type LeafRange, type TreeSize } from '../../tlog/coords.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { planConsistencyProof, planInclusionProof } from '../../tlog/proof.ts'
import { checkConsistency, checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readRoots } from './node-reads.ts'
import type { TileCache } from './tile-cache.ts'

// Proofs under any size up to that of a checkpoint. Before one is handed out it is checked against the root of its own
// size, and that root, by a consistency proof, against the signed one: a damaged tile gives no proof instead of a wrong
// one. All hashes are read from tiles of the checkpoint's size, which later ones only extend.

/** The audit path of a leaf in the tree of `size` leaves; `index` < `size` <= the checkpoint's. Throws where a check fails. */
export async function proveInclusionAt(
  tiles: TileCache,
  index: LeafIndex,
  size: TreeSize,
  checkpoint: StoredCheckpoint,
  hash: Sha256,
): Promise<readonly Hash[]> {
  const published = asTreeSize(checkpoint.treeSize)
  const plan = planInclusionProof(index, size)
  const ends = [{ lo: index, hi: index + 1 }, wholeTree(size)]
  const [[leaf, root], proof] = await readTwo(tiles, ends, plan, published, hash)
  await checkRootAt(tiles, size, root as Hash, checkpoint, hash)
  checkInclusion(index, size, leaf as Hash, proof, root as Hash, hash)
  return proof
}

/**
 * The proof that `to` leaves extend the first `from`; 0 <= `from` <= `to` <= the checkpoint's size. Everything extends
 * the empty tree, and a tree itself, without hashes. Throws likewise.
 */
export async function proveConsistency(
  tiles: TileCache,
  from: TreeSize,
  to: TreeSize,
  checkpoint: StoredCheckpoint,
  hash: Sha256,
): Promise<readonly Hash[]> {
  if (from === 0 || from === to) return []
  const published = asTreeSize(checkpoint.treeSize)
  const ends = [wholeTree(from), wholeTree(to)]
  const [[fromRoot, toRoot], proof] = await readTwo(tiles, ends, planConsistencyProof(from, to), published, hash)
  await checkRootAt(tiles, to, toRoot as Hash, checkpoint, hash)
  checkConsistency(from, to, fromRoot as Hash, toRoot as Hash, proof, hash)
  return proof
}

/** Throws unless the tree of `size` leaves with this root is the beginning of the signed one. */
async function checkRootAt(
  tiles: TileCache,
  size: TreeSize,
  root: Hash,
  { treeSize, root: signedRoot }: StoredCheckpoint,
  hash: Sha256,
): Promise<void> {
  const published = asTreeSize(treeSize)
  const proof = await readRoots(tiles, planConsistencyProof(size, published), published, hash)
  checkConsistency(size, published, root, signedRoot, proof, hash)
}

function wholeTree(size: TreeSize): LeafRange {
  return { lo: 0, hi: size }
}

/** The hashes of two plans, whose tiles are read together. */
async function readTwo(
  tiles: TileCache,
  first: readonly LeafRange[],
  second: readonly LeafRange[],
  published: TreeSize,
  hash: Sha256,
): Promise<readonly [Hash[], Hash[]]> {
  const hashes = await readRoots(tiles, [...first, ...second], published, hash)
  return [hashes.slice(0, first.length), hashes.slice(first.length)]
}
