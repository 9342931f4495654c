import { encodeUtf8, equalBytes } from './bytes.ts'
import { openCheckpoint } from './checkpoint.ts'
import { asLeafIndex } from './coords.ts'
import { decodeLeaf } from './entry.ts'
import { TlogError } from './errors.ts'
import { digest, type Hash, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import { jcs } from './jcs.ts'
import type { NoteVerifier } from './note.ts'
import { checkInclusion } from './verify.ts'

// Another transparency log as a ledger outside: a checkpoint of ours, as we signed it, stands in its tree.

export type LogAnchor = {
  /** Our name for it. */
  readonly log: string
  /** Its verifier key. */
  readonly vkey: string
  readonly index: number
  /** Its leaf, which has the hash of `anchorPayload`; undefined where the note itself is the leaf. */
  readonly leaf: Uint8Array | undefined
  readonly path: readonly Hash[]
  /** Its checkpoint, a signed note. */
  readonly checkpoint: string
}

/** The payload (RFC 8785) of the entry that says a checkpoint to a log of our kind. */
export function anchorPayload(note: string): string {
  return jcs({ checkpoint: note })
}

/**
 * Checks that a note stands in the tree that the other log signed; the size of that tree. Errors: `leaf-mismatch` where
 * its leaf is of something else, `inclusion-mismatch`, and those of notes, checkpoints and leaves.
 */
export function checkLogAnchor(
  { index, leaf, path, checkpoint: theirs }: Omit<LogAnchor, 'log' | 'vkey'>,
  note: string,
  verifier: NoteVerifier,
  sha256: Sha256 = nobleSha256,
): { readonly origin: string; readonly treeSize: number } {
  const { checkpoint } = openCheckpoint(encodeUtf8(theirs), verifier.name, [verifier])
  if (leaf !== undefined) checkLeaf(leaf, index, note, sha256)
  const hash = leafHash(leaf ?? encodeUtf8(note), sha256)
  checkInclusion(asLeafIndex(index), checkpoint.size, hash, path, checkpoint.root, sha256)
  return { origin: checkpoint.origin, treeSize: checkpoint.size }
}

function checkLeaf(leaf: Uint8Array, index: number, note: string, sha256: Sha256): void {
  const { sequenceNumber, payloadHash } = decodeLeaf(leaf)
  const isOfNote = equalBytes(payloadHash, digest(encodeUtf8(anchorPayload(note)), sha256))
  if (sequenceNumber === index + 1 && isOfNote) return
  throw new TlogError('leaf-mismatch', `anchor: leaf ${index} of the other log is of something else`)
}
