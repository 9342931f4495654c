import { parseAddCheckpoint } from '../../tlog/add-checkpoint.ts'
import { equalBytes } from '../../tlog/bytes.ts'
import { type Checkpoint, parseCheckpoint } from '../../tlog/checkpoint.ts'
import type { TreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { emptyRoot, type Hash, type Sha256 } from '../../tlog/hash.ts'
import { type Note, type NoteVerifier, openNote, parseNote } from '../../tlog/note.ts'
import { checkConsistency } from '../../tlog/verify.ts'

/** The tree that was cosigned last. */
export type CosignedHead = { readonly size: TreeSize; readonly root: Hash }

/** A log that is witnessed, and what of it was cosigned last; undefined before the first. */
export type WitnessedLog = {
  readonly verifiers: readonly NoteVerifier[]
  readonly cosigned: CosignedHead | undefined
}

/** Statuses as tlog-witness has them. `knownSize` is for 409: what the witness has. */
export type Refusal = {
  readonly kind: 'refused'
  readonly status: 400 | 403 | 404 | 409 | 422
  readonly reason: string
  readonly knownSize?: number
}

/** `note`: the text with the signatures of the log that hold, and no others. */
export type Decision =
  | { readonly kind: 'extends'; readonly checkpoint: Checkpoint; readonly text: string; readonly note: Note }
  | Refusal

/**
 * Whether a witness may cosign what it is asked for (C2SP tlog-witness, add-checkpoint; the order of the checks is that of
 * Sunlight's). Decides by what it is given and changes nothing: who cosigns must have stored it before, and no other head
 * of the log in between.
 */
export function decideAddCheckpoint(
  body: Uint8Array,
  logOf: (origin: string) => WitnessedLog | undefined,
  sha256: Sha256,
): Decision {
  try {
    const request = parseAddCheckpoint(body)
    const { text } = parseNote(request.note)
    const checkpoint = parseCheckpoint(text)
    const log = logOf(checkpoint.origin)
    if (log === undefined) return refused(404, 'the log is not known here')
    const opened = openNote(request.note, log.verifiers)
    const refusal = refusalOf(request, checkpoint, log.cosigned, sha256)
    return refusal ?? { kind: 'extends', checkpoint, text, note: { text, signatures: opened.verified } }
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    const isUnsigned = error.code === 'unverified-note' || error.code === 'invalid-signature'
    return refused(isUnsigned ? 403 : 400, error.message)
  }
}

function refusalOf(
  { old, proof }: { readonly old: TreeSize; readonly proof: readonly Hash[] },
  { size, root }: Checkpoint,
  cosigned: CosignedHead | undefined,
  sha256: Sha256,
): Refusal | undefined {
  const known = cosigned?.size ?? 0
  if (old > size) return refused(400, `old ${old} is more than the size of the checkpoint, ${size}`)
  if (size === 0 && !equalBytes(root, emptyRoot)) return refused(422, 'the root of no entries is another')
  if (old !== known)
    return { ...refused(409, `old ${old}: the size that was cosigned last is ${known}`), knownSize: known }
  if (old === 0) return proof.length === 0 ? undefined : refused(422, 'a proof from size 0 has no hashes')
  if (cosigned === undefined) return undefined
  if (old === size && !equalBytes(root, cosigned.root)) return refused(422, `another root of ${size} was cosigned`)
  return proofRefusal(cosigned, { size, root }, proof, sha256)
}

function proofRefusal(
  from: CosignedHead,
  to: CosignedHead,
  proof: readonly Hash[],
  sha256: Sha256,
): Refusal | undefined {
  try {
    checkConsistency(from.size, to.size, from.root, to.root, proof, sha256)
    return undefined
  } catch (error) {
    if (error instanceof TlogError) return refused(422, error.message)
    throw error
  }
}

function refused(status: Refusal['status'], reason: string): Refusal {
  return { kind: 'refused', status, reason }
}
