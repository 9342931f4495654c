import { createHmac, timingSafeEqual } from 'node:crypto'
import { writeUint64 } from '../../tlog/cbor.ts'
import type { TreeHead } from '../store/batch.ts'

/** A key that is never in the database: 32 bytes. */
export type SealKey = Uint8Array

export type SealedFields = Pick<TreeHead, 'previousSize' | 'previousRoot' | 'treeSize' | 'root' | 'chainHash'>

/**
 * HMAC-SHA-256 over origin, predecessor, size, root and chain hash. Whoever can write to the database but does not
 * have the key cannot make a head that sequencer or signer would build upon.
 */
export function sealHead(key: SealKey, origin: string, head: SealedFields): Uint8Array {
  const sizes = new Uint8Array(16)
  writeUint64(sizes, 0, head.previousSize)
  writeUint64(sizes, 8, head.treeSize)
  return createHmac('sha256', key)
    .update(`dendrolog/seal/1\0${origin}\0`)
    .update(sizes)
    .update(head.previousRoot)
    .update(head.root)
    .update(head.chainHash)
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
