import { encodeUtf8, equalBytes } from '../../tlog/bytes.ts'
import { openCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { checkReceiptHead } from '../../tlog/cose-checkpoint.ts'
import { TlogError } from '../../tlog/errors.ts'
import { textVerifier } from '../../tlog/note.ts'
import type { VerifierKey } from '../../tlog/note-key.ts'
import { checkSth, decodeDigitallySigned } from '../../tlog/sth.ts'
import { nodeSignatureCheck } from '../ops/signing.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { SignatureReview } from './checkpoint-check.ts'

/**
 * Reviews stored checkpoints with the log's public keys: both signatures hold, and what was signed is what the columns
 * say. Without the key of the STHs (P-256 SPKI, DER) only the note is reviewed.
 */
export function signatureReview(key: VerifierKey, sthKey: Uint8Array | undefined): NonNullable<SignatureReview> {
  const verifier = textVerifier(key, nodeSignatureCheck)
  return (stored) => {
    try {
      const { checkpoint } = openCheckpoint(encodeUtf8(stored.note), key.name, [verifier])
      if (checkpoint.size !== stored.treeSize || !equalBytes(checkpoint.root, stored.root)) {
        return `the note is of size ${checkpoint.size}, and another tree head than its row`
      }
      if (sthKey !== undefined) {
        checkSth(sthOf(stored), sthKey, nodeSignatureCheck)
        checkReceipts(stored, key.name, sthKey)
      }
      return undefined
    } catch (error) {
      if (error instanceof TlogError) return error.message
      throw error
    }
  }
}

function checkReceipts(stored: StoredCheckpoint, origin: string, spki: Uint8Array): void {
  if (stored.coseSignature === null) return
  checkReceiptHead({ origin, spki, check: nodeSignatureCheck }, stored, stored.coseSignature)
}

function sthOf({ treeSize, timestampMs, root, sthSignature }: StoredCheckpoint): Parameters<typeof checkSth>[0] {
  return { size: asTreeSize(treeSize), timestampMs, root, signature: decodeDigitallySigned(sthSignature) }
}
