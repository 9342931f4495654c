import { encodeUtf8, formatBase64 } from './bytes.ts'
import { type CheckpointBody, openCheckpoint } from './checkpoint.ts'
import { asLeafIndex, asTreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { type Hash, nobleSha256, type Sha256 } from './hash.ts'
import { type Members, memberReader } from './json-members.ts'
import { type NoteVerifier, noteBytesMax } from './note.ts'
import { checkConsistency, checkInclusion } from './verify.ts'

// Proofs as JSON, each with the checkpoint that makes it worth something. Hashes are base64. A proof about a tree
// smaller than the checkpoint's carries an `extension`: that this tree is the beginning of the signed one.

const { hashOf, hashesOf, integer, malformed, object, string } = memberReader('proof', 'malformed-proof-file')

/** `{leafIndex, leafHash, inclusionProof, extension?, checkpoint}`, as `GET /v1/entries/{n}/proof` answers. */
export type InclusionJson = {
  readonly leafIndex: number
  readonly leafHash: string
  readonly inclusionProof: { readonly leafIndex: number; readonly treeSize: number; readonly hashes: readonly string[] }
  readonly extension?: ExtensionJson
  readonly checkpoint: string
}

/** `{from, fromRoot, to, toRoot, hashes, extension?, checkpoint}`. */
export type ConsistencyJson = {
  readonly from: number
  readonly fromRoot: string
  readonly to: number
  readonly toRoot: string
  readonly hashes: readonly string[]
  readonly extension?: ExtensionJson
  readonly checkpoint: string
}

/** From the tree of `from` leaves with this root to the checkpoint's. */
export type ExtensionJson = { readonly from: number; readonly fromRoot: string; readonly hashes: readonly string[] }

/** What a proof shows once it was checked. */
export type ProvedLeaf = {
  readonly kind: 'leaf'
  readonly leafIndex: number
  readonly leafHash: Hash
  /** In the tree of so many leaves. */
  readonly treeSize: number
  readonly checkpoint: CheckpointBody
}
export type ProvedConsistency = {
  readonly kind: 'consistency'
  readonly from: number
  readonly fromRoot: Hash
  readonly to: number
  readonly toRoot: Hash
  readonly checkpoint: CheckpointBody
}

/** Whether JSON is one of the two proofs, by its members. */
export function isProofJson(value: unknown): boolean {
  const { inclusionProof, entry, from, to } = Object(value) as Members
  return (inclusionProof !== undefined && entry === undefined) || (from !== undefined && to !== undefined)
}

/**
 * Checks a proof, as `parseReceipt` read it, offline. Throws `malformed-proof-file` where it has not the shape,
 * `inclusion-mismatch` and `consistency-mismatch`, and those of proofs, notes and checkpoints where it does not hold.
 */
export function checkProofJson(
  value: unknown,
  verifier: NoteVerifier,
  hash: Sha256 = nobleSha256,
): ProvedLeaf | ProvedConsistency {
  const members = object(value, 'proof')
  const note = string(members.checkpoint, 'checkpoint', noteBytesMax)
  const { checkpoint } = openCheckpoint(encodeUtf8(note), verifier.name, [verifier])
  return members.inclusionProof === undefined
    ? checkConsistencyJson(members, checkpoint, hash)
    : checkInclusionJson(members, checkpoint, hash)
}

function checkInclusionJson(members: Members, checkpoint: CheckpointBody, hash: Sha256): ProvedLeaf {
  const proof = object(members.inclusionProof, 'inclusionProof')
  const leafIndex = integer(members.leafIndex, 'leafIndex')
  const leafHash = hashOf(members.leafHash, 'leafHash')
  const treeSize = integer(proof.treeSize, 'inclusionProof.treeSize')
  if (proof.leafIndex !== leafIndex) throw malformed(`inclusionProof.leafIndex: want ${leafIndex}`)
  const root = rootAt(treeSize, members.extension, checkpoint, hash)
  const hashes = hashesOf(proof.hashes, 'inclusionProof.hashes')
  checkInclusion(asLeafIndex(leafIndex), asTreeSize(treeSize), leafHash, hashes, root, hash)
  return { kind: 'leaf', leafIndex, leafHash, treeSize, checkpoint }
}

function checkConsistencyJson(members: Members, checkpoint: CheckpointBody, hash: Sha256): ProvedConsistency {
  const [from, to] = [integer(members.from, 'from'), integer(members.to, 'to')]
  const [fromRoot, toRoot] = [hashOf(members.fromRoot, 'fromRoot'), hashOf(members.toRoot, 'toRoot')]
  const root = rootAt(to, members.extension, checkpoint, hash)
  if (formatBase64(root) !== formatBase64(toRoot)) {
    throw new TlogError('consistency-mismatch', `toRoot: the log signed another root of ${to} entries`)
  }
  const hashes = hashesOf(members.hashes, 'hashes')
  checkConsistency(asTreeSize(from), asTreeSize(to), fromRoot, toRoot, hashes, hash)
  return { kind: 'consistency', from, fromRoot, to, toRoot, checkpoint }
}

/** The root of the first `size` leaves of the signed tree: the checkpoint's, or that of an extension that holds. */
function rootAt(size: number, extension: unknown, checkpoint: CheckpointBody, hash: Sha256): Hash {
  if (extension === undefined) {
    if (size === checkpoint.size) return checkpoint.root
    throw new TlogError(
      'inclusion-mismatch',
      `tree of ${size}: the checkpoint is of ${checkpoint.size}, want an extension`,
    )
  }
  const { from, fromRoot, hashes } = object(extension, 'extension')
  if (from !== size) throw malformed(`extension.from: want ${size}`)
  const root = hashOf(fromRoot, 'extension.fromRoot')
  const path = hashesOf(hashes, 'extension.hashes')
  checkConsistency(asTreeSize(size), asTreeSize(checkpoint.size), root, checkpoint.root, path, hash)
  return root
}
