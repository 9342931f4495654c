import { TlogError } from './errors.ts'

declare const sizeBrand: unique symbol
declare const indexBrand: unique symbol
declare const sequenceBrand: unique symbol

/** Count of leaves, 0 to 2^53-1. */
export type TreeSize = number & { readonly [sizeBrand]: true }
/** Place in the tree, counted from 0. */
export type LeafIndex = number & { readonly [indexBrand]: true }
/** Place in the chain, counted from 1: leaf index + 1. */
export type SequenceNumber = number & { readonly [sequenceBrand]: true }

/** Takes a number as a tree size; throws `out-of-range` unless it is an integer of 0 to 2^53-1. */
export function asTreeSize(n: number): TreeSize {
  if (!Number.isSafeInteger(n) || n < 0) throw new TlogError('out-of-range', `tree size: got ${n}`)
  return n as TreeSize
}

/** Takes a number as a leaf index; throws `out-of-range` unless it is an integer of 0 to 2^53-2. */
export function asLeafIndex(n: number): LeafIndex {
  if (!Number.isSafeInteger(n) || n < 0 || n === Number.MAX_SAFE_INTEGER) {
    throw new TlogError('out-of-range', `leaf index: got ${n}`)
  }
  return n as LeafIndex
}

/** Reads the one decimal spelling of 0 to 2^53-1: no sign, leading zero, space or exponent (`malformed-number`). */
export function parseDecimal(text: string, what: string): number {
  const n = Number(text)
  if (!Number.isSafeInteger(n) || n < 0 || String(n) !== text) {
    throw new TlogError('malformed-number', `${what}: got ${JSON.stringify(text.slice(0, 80))}`)
  }
  return n
}

export function indexOfSequence(n: SequenceNumber): LeafIndex {
  return asLeafIndex(n - 1)
}

export function sequenceOfIndex(index: LeafIndex): SequenceNumber {
  return (index + 1) as SequenceNumber
}

/** Leaves lo to hi - 1. */
export type LeafRange = { readonly lo: number; readonly hi: number }

/** Root of the perfect subtree over the leaves index * 2^level to (index + 1) * 2^level - 1. It never changes. */
export type TreeNode = { readonly level: number; readonly index: number }

/** Largest power of two strictly smaller than n, for n > 1: where RFC 6962 2.1 splits n leaves. */
export function splitPoint(n: number): number {
  let k = 1
  while (2 * k < n) k *= 2
  return k
}

/** Count of one bits of n, 0 to 2^53-1. */
export function popcount(n: number): number {
  let count = 0
  for (let rest = n; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2
  return count
}

/** Count of zero bits below the lowest one bit of n > 0. */
export function trailingZeros(n: number): number {
  let count = 0
  for (let rest = n; rest % 2 === 0; rest /= 2) count++
  return count
}

/** Bit length of a XOR b: the level of the lowest subtree that holds both leaves. */
export function forkLevel(a: number, b: number): number {
  let level = 0
  for (let x = a, y = b; x !== y; x = Math.floor(x / 2), y = Math.floor(y / 2)) level++
  return level
}
