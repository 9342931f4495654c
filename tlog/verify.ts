import { equalBytes, formatHex } from './bytes.ts'
import { forkLevel, type LeafIndex, popcount, type TreeSize, trailingZeros } from './coords.ts'
import { TlogError, type TlogErrorCode } from './errors.ts'
import { asHash, type Hash, nobleSha256, nodeHash, type Sha256 } from './hash.ts'

// The names fn, sn, fr and sr are those of RFC 9162 2.1.3.2 and 2.1.4.2. A proof does not bind the size of the tree:
// the same hashes hold for other sizes too. Sizes and roots must come from a checkpoint whose signature was checked.
// The RFC also asks in each step whether sn is 0 too early, and at the end whether it is 0: with the exact count of
// hashes, which is checked first, it is.

/**
 * Throws unless `proof` shows that the leaf is at `index` of the tree of `size` leaves with this root (RFC 9162
 * 2.1.3.2). `malformed-proof`: the index is not in the tree, the count of hashes is not the one that index and size
 * demand, or something is not 32 bytes. `inclusion-mismatch`: all that holds and the root is another.
 */
export function checkInclusion(
  index: LeafIndex,
  size: TreeSize,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  root: Uint8Array,
  hash: Sha256 = nobleSha256,
): void {
  checkRoot('inclusion-mismatch', `leaf ${index} in ${size}`, rootFromInclusion(index, size, leaf, proof, hash), root)
}

/** The root that the proof leads to, for those who have a signature over it and not itself; `malformed-proof`. */
export function rootFromInclusion(
  index: LeafIndex,
  size: TreeSize,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  hash: Sha256 = nobleSha256,
): Hash {
  const path = checkHashes(proof, inclusionProofLength(index, size))
  let fn: number = index
  let sn = size - 1
  let r = asHash(leaf, 'leaf hash')
  for (const p of path) {
    if (fn % 2 === 1 || fn === sn) {
      r = nodeHash(p, r, hash)
      for (; fn % 2 === 0 && fn > 0; fn /= 2) sn = Math.floor(sn / 2)
    } else {
      r = nodeHash(r, p, hash)
    }
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  return r
}

/**
 * Throws unless `proof` shows that the tree of `to` leaves extends that of `from` (RFC 9162 2.1.4.2), 0 < `from` <=
 * `to`. `malformed-proof`: sizes out of order or 0, a wrong count of hashes, or something not of 32 bytes.
 * `consistency-mismatch`: all that holds and one of the roots is another.
 */
export function checkConsistency(
  from: TreeSize,
  to: TreeSize,
  fromRoot: Uint8Array,
  toRoot: Uint8Array,
  proof: readonly Uint8Array[],
  hash: Sha256 = nobleSha256,
): void {
  const root = rootFromConsistency(from, to, fromRoot, proof, hash)
  checkRoot('consistency-mismatch', `from ${from} to ${to}, new root`, root, toRoot)
}

/**
 * The root of the larger tree that the proof leads to from that of the smaller one; `malformed-proof`, and
 * `consistency-mismatch` where it leads to another root of the smaller one.
 */
export function rootFromConsistency(
  from: TreeSize,
  to: TreeSize,
  fromRoot: Uint8Array,
  proof: readonly Uint8Array[],
  hash: Sha256 = nobleSha256,
): Hash {
  const hashes = checkHashes(proof, consistencyProofLength(from, to))
  let fn = from / 2 ** trailingZeros(from) - 1
  let sn = Math.floor((to - 1) / 2 ** trailingZeros(from))
  // Where the old tree is a node of the new one (fn is 0 where `from` is a power of two) the proof leaves its root out.
  const isNode = fn === 0 || from === to
  const [first, ...rest] = isNode ? [asHash(fromRoot, 'old root'), ...hashes] : hashes
  let fr = first as Hash
  let sr = fr
  for (const c of rest) {
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(c, fr, hash)
      sr = nodeHash(c, sr, hash)
      for (; fn % 2 === 0 && fn > 0; fn /= 2) sn = Math.floor(sn / 2)
    } else {
      sr = nodeHash(sr, c, hash)
    }
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  checkRoot('consistency-mismatch', `from ${from} to ${to}, old root`, fr, fromRoot)
  return sr
}

/** Count of hashes of the one inclusion proof; throws `malformed-proof` unless 0 <= `index` < `size`. */
export function inclusionProofLength(index: LeafIndex, size: TreeSize): number {
  if (!isCount(index) || !isCount(size) || index >= size) {
    throw new TlogError('malformed-proof', `inclusion proof: leaf ${index} of ${size}`)
  }
  const fork = forkLevel(index, size - 1)
  return fork + popcount(Math.floor(index / 2 ** fork))
}

/** Count of hashes of the one consistency proof; throws `malformed-proof` unless 0 < `from` <= `to`. */
export function consistencyProofLength(from: TreeSize, to: TreeSize): number {
  if (!isCount(from) || !isCount(to) || from === 0 || from > to) {
    throw new TlogError('malformed-proof', `consistency proof: from ${from} to ${to}`)
  }
  if (from === to) return 0
  const fork = forkLevel(from - 1, to - 1)
  const seed = popcount(from) === 1 ? 0 : 1
  return seed + fork - trailingZeros(from) + popcount(Math.floor((from - 1) / 2 ** fork))
}

/** Takes the hashes of a proof; throws `malformed-proof` unless there are `count`, each of 32 bytes. */
export function checkHashes(proof: readonly Uint8Array[], count: number): Hash[] {
  if (proof.length !== count) {
    throw new TlogError('malformed-proof', `proof: got ${proof.length} hashes, want ${count}`)
  }
  return proof.map((bytes, i) => asHash(bytes, `proof hash ${i}`))
}

/** Throws `code` unless the roots are equal; `malformed-proof` where the wanted one is not 32 bytes. */
export function checkRoot(code: TlogErrorCode, what: string, got: Hash, want: Uint8Array): void {
  if (!equalBytes(got, asHash(want, 'root'))) {
    throw new TlogError(code, `${what}: got root ${formatHex(got)}, want ${formatHex(want)}`)
  }
}

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0
}
