import { asTreeSize, popcount, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { emptyRoot, type Hash, hashBytes, nobleSha256, type Sha256 } from './hash.ts'

/**
 * All that an appender must remember of a tree: the roots of its maximal perfect subtrees, biggest first, packed in
 * 32 * popcount(size) bytes. Never written after it was made.
 */
export type CompactRange = { readonly size: TreeSize; readonly hashes: Uint8Array }

/** Told of each inner node when its last leaf has come; the hash is 32 bytes at `at`, valid during the call only. */
export type NodeVisitor = (level: number, bytes: Uint8Array, at: number) => void

export const emptyRange: CompactRange = { size: asTreeSize(0), hashes: new Uint8Array(0) }

/** One node a bit of the largest size, and the leaf that makes it carry. */
const stackHashesMax = 54

/** Takes stored bytes as the compact range of `size` leaves; throws `malformed-range` unless the length is right. */
export function asCompactRange(size: TreeSize, bytes: Uint8Array): CompactRange {
  const want = hashBytes * popcount(size)
  if (bytes.length !== want) {
    throw new TlogError('malformed-range', `compact range of ${size} leaves: got ${bytes.length} bytes, want ${want}`)
  }
  return { size, hashes: bytes }
}

/** The range with one leaf more. */
export function appendLeafHash(range: CompactRange, leaf: Hash, hash: Sha256 = nobleSha256): CompactRange {
  return extendRange(range, leaf, ignoreNode, hash)
}

/**
 * The range with the leaves of `leafHashes` (32 bytes each) appended. `visit` is called for inner nodes only, bottom
 * up and from left to right. One hash a new inner node, no allocation a leaf. Throws `malformed-range` where the
 * length is no multiple of 32, `out-of-range` where the tree would have more than 2^53-1 leaves.
 */
export function extendRange(
  range: CompactRange,
  leafHashes: Uint8Array,
  visit: NodeVisitor,
  hash: Sha256 = nobleSha256,
): CompactRange {
  const newSize = asTreeSize(range.size + countHashes(leafHashes))
  const stack = new Uint8Array(1 + hashBytes * stackHashesMax)
  stack.set(range.hashes, 1)
  let end = 1 + range.hashes.length
  for (let size: number = range.size, from = 0; size < newSize; size++, from += hashBytes) {
    for (let i = 0; i < hashBytes; i++) stack[end + i] = leafHashes[from + i] as number
    end = mergeCarries(stack, end + hashBytes, size, visit, hash)
  }
  return { size: newSize, hashes: stack.slice(1, end) }
}

/** Root hash of the tree, RFC 6962 2.1; of no leaves the hash of no bytes. */
export function rangeRoot(range: CompactRange, hash: Sha256 = nobleSha256): Hash {
  return range.size === 0 ? emptyRoot : foldRight(range.hashes, hash)
}

/** Joins packed subtree roots, at least one, biggest first: the last with the one before it, and so on leftwards. */
export function foldRight(hashes: Uint8Array, hash: Sha256 = nobleSha256): Hash {
  const stack = new Uint8Array(1 + hashes.length)
  stack.set(hashes, 1)
  for (let left = stack.length - 2 * hashBytes; left > 0; left -= hashBytes) mergePair(stack, left, hash)
  return stack.slice(1, 1 + hashBytes) as Hash
}

function ignoreNode(): void {}

function countHashes(hashes: Uint8Array): number {
  if (hashes.length % hashBytes === 0) return hashes.length / hashBytes
  throw new TlogError('malformed-range', `hashes: got ${hashes.length} bytes, want a multiple of ${hashBytes}`)
}

/** Joins the last two nodes once for each trailing one bit of the size before the new leaf. Returns the new end. */
function mergeCarries(stack: Uint8Array, end: number, size: number, visit: NodeVisitor, hash: Sha256): number {
  let left = end - hashBytes
  for (let rest = size, level = 1; rest % 2 === 1; rest = (rest - 1) / 2, level++) {
    left -= hashBytes
    mergePair(stack, left, hash)
    visit(level, stack, left)
  }
  return left + hashBytes
}

/**
 * Puts the hash of the nodes at `left` and `left` + 32 in the place of the left one. The 0x01 before them borrows the
 * last byte of the node before, so that nothing is copied: stacks begin with a byte of their own for this.
 */
function mergePair(stack: Uint8Array, left: number, hash: Sha256): void {
  const borrowed = stack[left - 1] as number
  stack[left - 1] = 0x01
  hash(stack, left - 1, left + 2 * hashBytes, stack, left)
  stack[left - 1] = borrowed
}
