import { sha256 } from '@noble/hashes/sha2.js'
import { TlogError } from './errors.ts'

declare const hashBrand: unique symbol

/** 32 bytes: a SHA-256 digest. Made only by the functions of this file and by parsers that checked the length. */
export type Hash = Uint8Array & { readonly [hashBrand]: true }

export const hashBytes = 32

/**
 * SHA-256 from one buffer into another, so that a loop over millions of hashes allocates nothing.
 * `out` may be the buffer that holds `data`: the digest is written after all input was read.
 */
export type Sha256 = (data: Uint8Array, start: number, end: number, out: Uint8Array, outStart: number) => void

/** The portable implementation. A server injects a native one, several times as fast; tests hold the two together. */
export const nobleSha256: Sha256 = (data, start, end, out, outStart) => {
  out.set(sha256(data.subarray(start, end)), outStart)
}

/** SHA-256 of `data`, any length. */
export function digest(data: Uint8Array, hash: Sha256 = nobleSha256): Hash {
  const out = new Uint8Array(hashBytes)
  hash(data, 0, data.length, out, 0)
  return out as Hash
}

/** SHA-256(0x00 || leaf), RFC 6962 2.1. */
export function leafHash(leaf: Uint8Array, hash: Sha256 = nobleSha256): Hash {
  const input = new Uint8Array(1 + leaf.length)
  input.set(leaf, 1)
  return digest(input, hash)
}

/** SHA-256(0x01 || left || right), RFC 6962 2.1. */
export function nodeHash(left: Hash, right: Hash, hash: Sha256 = nobleSha256): Hash {
  const input = new Uint8Array(1 + 2 * hashBytes)
  input[0] = 0x01
  input.set(left, 1)
  input.set(right, 1 + hashBytes)
  return digest(input, hash)
}

/** Root of the empty tree: SHA-256 of no bytes, RFC 6962 2.1. */
export const emptyRoot: Hash = digest(new Uint8Array(0))

/** Takes 32 bytes that came from outside as a hash; anything else is refused. The bytes are not copied. */
export function asHash(bytes: Uint8Array, what = 'hash'): Hash {
  if (bytes.length !== hashBytes) {
    throw new TlogError('malformed-proof', `${what}: got ${bytes.length} bytes, want ${hashBytes}`)
  }
  return bytes as Hash
}
