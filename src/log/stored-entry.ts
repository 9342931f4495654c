import { encodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { chainHash, chainText } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { digest, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import type { StoredEntry } from '../store/entries.ts'
import { type EntryWithLeaf, storedEntry } from './receipt.ts'

/**
 * An entry of the ledger all of whose columns its leaf hash covers: leaf, payload, chain. Nothing else is served.
 * Throws `leaf-mismatch` or `chain-mismatch`. That the leaf hash is in the tree is for a proof to say.
 */
export function checkStoredEntry(stored: StoredEntry, sequenceNumber: number, hash: Sha256): EntryWithLeaf {
  const entry = storedEntry(stored)
  if (entry.sequenceNumber !== sequenceNumber || !equalBytes(leafHash(entry.leaf, hash), entry.leafHash)) {
    throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its columns are not those of its leaf hash`)
  }
  const payload: unknown = JSON.parse(stored.payloadText)
  if (!equalBytes(digest(encodeUtf8(jcs(payload)), hash), stored.fields.payloadHash)) {
    throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its payload is not that of its leaf`)
  }
  const { actorId, action, resource, currentHash } = stored.fields
  const n = sequenceNumber as SequenceNumber
  const got = chainHash(n, actorId, action, resource, chainText(payload), stored.previousHash, hash)
  if (got !== formatHex(currentHash)) {
    throw new TlogError('chain-mismatch', `entry ${sequenceNumber}: its chain hash is not that of its columns`)
  }
  return entry
}
