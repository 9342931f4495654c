import { createHmac, timingSafeEqual } from 'node:crypto'
import { writeUint64 } from '../../tlog/cbor.ts'
import type { TreeHead } from '../store/batch.ts'

/** A key that is never in the database: 32 bytes. */
export type SealKey = Uint8Array

/** All that a head's row says but the seal itself. */
export type SealedFields = Omit<TreeHead, 'seal'>

/**
 * HMAC-SHA-256 over origin and every column of a head. Whoever can write to the database but does not have the key
 * cannot make or alter a head that sequencer or signer would build upon. One reading only: the origin has no U+0000,
 * what follows has 120 bytes, and the frontier, the one part without a fixed length, stands last.
 */
export function sealHead(key: SealKey, origin: string, head: SealedFields): Uint8Array {
  const numbers = new Uint8Array(24)
  writeUint64(numbers, 0, head.previousSize)
  writeUint64(numbers, 8, head.treeSize)
  writeUint64(numbers, 16, head.newestTimestamp)
  return createHmac('sha256', key)
    .update(`dendrolog/seal/2\0${origin}\0`)
    .update(numbers)
    .update(head.previousRoot)
    .update(head.root)
    .update(head.chainHash)
    .update(head.frontier)
    .digest()
}

export function isSealed(key: SealKey, origin: string, head: TreeHead): boolean {
  const want = sealHead(key, origin, head)
  return head.seal.length === want.length && timingSafeEqual(head.seal, want)
}

/** A secret's hash as it is stored. Under a key, so that a copy of the table is no help in guessing. */
export function hashSecret(key: SealKey, secret: string): Uint8Array {
  return createHmac('sha256', key).update('dendrolog/token/1\0').update(secret).digest()
}
