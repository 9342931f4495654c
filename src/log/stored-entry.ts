import { encodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { chainHash, chainText } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import { TlogError } from '../../tlog/errors.ts'
import { digest, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import type { StoredColumns, StoredEntry } from '../store/entries.ts'
import { type EntryWithLeaf, storedEntry } from './receipt.ts'

/**
 * An entry of the ledger all of whose columns its leaf hash covers: leaf, payload, chain. Nothing else is served. Its
 * payload is given as RFC 8785 text, which is the short one. Throws `leaf-mismatch` or `chain-mismatch`. That the leaf
 * hash is in the tree is for a proof to say.
 */
export function checkStoredEntry(stored: StoredEntry, sequenceNumber: number, hash: Sha256): EntryWithLeaf {
  checkStoredColumns(stored, sequenceNumber, hash)
  const payload: unknown = JSON.parse(stored.payloadText)
  const jcsText = jcs(payload)
  if (!equalBytes(digest(encodeUtf8(jcsText), hash), stored.fields.payloadHash)) {
    throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its payload is not that of its leaf`)
  }
  const { actorId, action, resource, currentHash } = stored.fields
  const n = sequenceNumber as SequenceNumber
  const got = chainHash(n, actorId, action, resource, chainText(payload), stored.previousHash, hash)
  if (got !== formatHex(currentHash)) {
    throw new TlogError('chain-mismatch', `entry ${sequenceNumber}: its chain hash is not that of its columns`)
  }
  return storedEntry({ ...stored, payloadText: jcsText })
}

/** Throws `leaf-mismatch` unless the columns are those of the leaf hash. Says nothing of payload and chain. */
export function checkStoredColumns(
  { fields, leafHash: stored }: StoredColumns,
  sequenceNumber: number,
  hash: Sha256,
): void {
  if (fields.sequenceNumber !== sequenceNumber || !equalBytes(leafHash(encodeLeaf(fields), hash), stored)) {
    throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its columns are not those of its leaf hash`)
  }
}
