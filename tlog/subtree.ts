import { forkLevel, type LeafIndex, type LeafRange, splitPoint, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { asHash, emptyRoot, type Hash, nobleSha256, nodeHash, type Sha256 } from './hash.ts'
import { planInclusionProof } from './proof.ts'
import { checkHashes, checkInclusion, checkRoot } from './verify.ts'

// Subtrees of draft-ietf-plants-merkle-tree-certs: a range whose hash is that of its leaves as a tree of their own.
// A range is one where `lo` is a multiple of the smallest power of two that is not below its width.

/** Whether the range is a subtree. An empty range is one, wherever it is. */
export function isSubtree({ lo, hi }: LeafRange): boolean {
  if (!Number.isSafeInteger(lo) || !Number.isSafeInteger(hi) || lo < 0 || lo > hi) return false
  return hi - lo < 2 || lo % (2 * splitPoint(hi - lo)) === 0
}

/** The ranges of the audit path of a leaf in a subtree. Throws `out-of-range` unless the leaf is in it. */
export function planSubtreeInclusionProof(index: LeafIndex, subtree: LeafRange): LeafRange[] {
  if (!isSubtree(subtree) || index < subtree.lo) {
    throw new TlogError('out-of-range', `leaf ${index} of ${formatRange(subtree)}`)
  }
  const plan = planInclusionProof((index - subtree.lo) as LeafIndex, (subtree.hi - subtree.lo) as TreeSize)
  return plan.map(({ lo, hi }) => ({ lo: subtree.lo + lo, hi: subtree.lo + hi }))
}

/**
 * The ranges of the proof that a subtree is part of the tree of `size` leaves, lowest first. Throws `out-of-range` for
 * what is no subtree of it. That of an empty subtree is empty; that of one leaf is its inclusion proof, and that of the
 * first leaves the consistency proof.
 */
export function planSubtreeConsistencyProof(subtree: LeafRange, size: TreeSize): LeafRange[] {
  if (!isSubtree(subtree) || subtree.hi > size) {
    throw new TlogError('out-of-range', `subtree ${formatRange(subtree)} of ${size}`)
  }
  if (subtree.lo === subtree.hi) return []
  const plan: LeafRange[] = []
  let lo = 0
  let hi: number = size
  while (hi !== subtree.hi || lo < subtree.lo) {
    const middle = lo + splitPoint(hi - lo)
    plan.push(subtree.hi <= middle ? { lo: middle, hi } : { lo, hi: middle })
    if (subtree.hi <= middle) hi = middle
    else lo = middle
  }
  // Passed its beginning: the subtree is no node of the tree, and this is its last perfect one.
  if (lo > subtree.lo) plan.push({ lo, hi })
  return plan.reverse()
}

/**
 * Throws unless `proof` shows the leaf at `index`, counted in the whole tree, of the subtree with this root.
 * `malformed-proof` for what is no subtree, a leaf outside of it or a wrong count of hashes, else `inclusion-mismatch`.
 */
export function checkSubtreeInclusion(
  index: LeafIndex,
  subtree: LeafRange,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  subtreeRoot: Uint8Array,
  hash: Sha256 = nobleSha256,
): void {
  if (!isSubtree(subtree)) throw new TlogError('malformed-proof', `subtree: got ${formatRange(subtree)}`)
  const place = (index - subtree.lo) as LeafIndex
  checkInclusion(place, (subtree.hi - subtree.lo) as TreeSize, leaf, proof, subtreeRoot, hash)
}

/**
 * Throws unless `proof` shows that the subtree is part of the tree of `size` leaves with this root. `malformed-proof`
 * for what is no subtree of it, a wrong count of hashes or something not of 32 bytes, else `consistency-mismatch`.
 */
export function checkSubtreeConsistency(
  subtree: LeafRange,
  size: TreeSize,
  subtreeRoot: Uint8Array,
  root: Uint8Array,
  proof: readonly Uint8Array[],
  hash: Sha256 = nobleSha256,
): void {
  if (!isSubtree(subtree) || !Number.isSafeInteger(size) || subtree.hi > size) {
    throw new TlogError('malformed-proof', `subtree ${formatRange(subtree)} of ${size}`)
  }
  const hashes = checkHashes(proof, planSubtreeConsistencyProof(subtree, size).length)
  const claimed = asHash(subtreeRoot, 'subtree root')
  asHash(root, 'root')
  if (subtree.lo === subtree.hi) {
    checkRoot('consistency-mismatch', 'empty subtree', claimed, emptyRoot)
    return
  }
  const [fr, sr] = climb(subtree, size, claimed, hashes, hash)
  checkRoot('consistency-mismatch', `subtree ${formatRange(subtree)}`, fr, claimed)
  checkRoot('consistency-mismatch', `subtree ${formatRange(subtree)} of ${size}`, sr, root)
}

/**
 * Two adjacent subtrees, the left one possibly beginning earlier, that together cover a range of more than one leaf;
 * for one leaf or none the range itself and an empty one after it.
 */
export function coveringSubtrees({ lo, hi }: LeafRange): readonly [LeafRange, LeafRange] {
  if (hi - lo < 2)
    return [
      { lo, hi },
      { lo: hi, hi },
    ]
  const half = 2 ** (forkLevel(lo, hi - 1) - 1)
  const middle = hi - 1 - ((hi - 1) % half)
  // The left one ends at a multiple of `half`, so it is as wide as the power of two that reaches back to `lo`.
  let width = 1
  while (width < middle - lo) width *= 2
  return [
    { lo: middle - width, hi: middle },
    { lo: middle, hi },
  ]
}

/** The draft's fn, sn, tn: the hashes that the proof gives for the subtree and for the tree. */
function climb(
  { lo, hi }: LeafRange,
  size: TreeSize,
  claimed: Hash,
  proof: readonly Hash[],
  hash: Sha256,
): readonly [Hash, Hash] {
  let [fn, sn, tn] = [lo, hi - 1, size - 1]
  const shift = (): void => {
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
    tn = Math.floor(tn / 2)
  }
  const reachesEnd = sn === tn
  while (fn !== sn && (reachesEnd || sn % 2 === 1)) shift()
  const [first, ...rest] = fn === sn ? [claimed, ...proof] : proof
  let fr = first as Hash
  let sr = fr
  for (const c of rest) {
    if (sn % 2 === 1 || sn === tn) {
      if (fn < sn) fr = nodeHash(c, fr, hash)
      sr = nodeHash(c, sr, hash)
      while (sn % 2 === 0 && sn > 0) shift()
    } else {
      sr = nodeHash(sr, c, hash)
    }
    shift()
  }
  return [fr, sr]
}

function formatRange({ lo, hi }: LeafRange): string {
  return `[${lo}, ${hi})`
}
