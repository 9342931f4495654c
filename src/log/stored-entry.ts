import { encodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { chainHash, chainText } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { TlogError } from '../../tlog/errors.ts'
import { digest, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { DamagedEntry } from '../store/damaged-entry.ts'
import type { StoredColumns, StoredEntry } from '../store/entries.ts'
import { type EntryWithLeaf, storedEntry } from './receipt.ts'

/**
 * An entry of the ledger all of whose columns its leaf hash covers: leaf, payload, chain. Nothing else is served. Its
 * payload is given as RFC 8785 text, which is the short one. Throws DamagedEntry. That the leaf hash is in the tree is
 * for a proof to say.
 */
export function checkStoredEntry(stored: StoredEntry, sequenceNumber: number, hash: Sha256): EntryWithLeaf {
  checkStoredColumns(stored, sequenceNumber, hash)
  const payload: unknown = JSON.parse(stored.payloadText)
  const jcsText = jcs(payload)
  if (!equalBytes(digest(encodeUtf8(jcsText), hash), stored.fields.payloadHash)) {
    throw new DamagedEntry(sequenceNumber, 'its payload is not that of its leaf')
  }
  const { actorId, action, resource, currentHash } = stored.fields
  const n = sequenceNumber as SequenceNumber
  const got = chainHash(n, actorId, action, resource, chainText(payload), stored.previousHash, hash)
  if (got !== formatHex(currentHash)) {
    throw new DamagedEntry(sequenceNumber, 'its chain hash is not that of its columns', 'chain-mismatch')
  }
  return storedEntry({ ...stored, payloadText: jcsText })
}

/** Throws DamagedEntry unless the columns are those of the leaf hash. Says nothing of payload and chain. */
export function checkStoredColumns(
  { fields, leafHash: stored }: StoredColumns,
  sequenceNumber: number,
  hash: Sha256,
): void {
  if (fields.sequenceNumber === sequenceNumber && equalBytes(hashOf(fields, hash), stored)) return
  throw new DamagedEntry(sequenceNumber, 'its columns are not those of its leaf hash')
}

/** Empty where the columns can be no leaf at all: a text that is too long. */
function hashOf(fields: LeafFields, hash: Sha256): Uint8Array {
  try {
    return leafHash(encodeLeaf(fields), hash)
  } catch (error) {
    if (error instanceof TlogError) return new Uint8Array(0)
    throw error
  }
}
