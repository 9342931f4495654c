import { equalBytes } from './bytes.ts'
import { TlogError } from './errors.ts'
import { type Hash, nobleSha256, nodeHash, type Sha256 } from './hash.ts'
import { levelsPerTile, rootInPyramid, type TilePyramid } from './tile-nodes.ts'

/** The first leaf below a tile, with its audit path in a tree that has all of the tile's slots. */
export type FirstLeafProof = { readonly leafHash: Hash; readonly hashes: readonly Hash[] }

/**
 * Throws `root-mismatch` unless the full tile of this pyramid is the one that a proof passes through, which the caller
 * has checked. The siblings of the way up from the first slot are made of all other slots: where they and the slot are
 * those of the proof, so is the tile.
 */
export function checkTileOnPath(
  level: number,
  index: number,
  pyramid: TilePyramid,
  { leafHash, hashes }: FirstLeafProof,
  hash: Sha256 = nobleSha256,
): void {
  const below = levelsPerTile * level
  // Of the first leaf below the tile all siblings are to its right.
  const first = hashes.slice(0, below).reduce((left, right) => nodeHash(left, right, hash), leafHash)
  const want = [first, ...hashes.slice(below, below + levelsPerTile)]
  const isSame = want.every((each, i) => equalBytes(i === 0 ? rootInPyramid(pyramid, 0, 1) : sibling(pyramid, i), each))
  if (isSame && want.length === levelsPerTile + 1) return
  throw new TlogError('root-mismatch', `tile ${index} of level ${level} is not that of the signed tree`)
}

/** The root of as many slots as stand before them: 2^(step - 1). */
function sibling(pyramid: TilePyramid, step: number): Hash {
  const width = 2 ** (step - 1)
  return rootInPyramid(pyramid, width, 2 * width)
}
