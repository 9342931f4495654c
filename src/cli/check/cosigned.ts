import { encodeUtf8 } from '../../../tlog/bytes.ts'
import { TlogError } from '../../../tlog/errors.ts'
import { formatSignatureLine, parseNote } from '../../../tlog/note.ts'
import { formatVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import { type Cosigned, Witnesses } from '../../cosign/witnesses.ts'
import { checkMlDsa44 } from '../../ops/ml-dsa.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'

/** The policy of a tlog-policy file, for the log of this key; TlogError `malformed-policy`. */
export function openPolicy(file: Uint8Array, key: VerifierKey): Witnesses {
  return Witnesses.parse(file, formatVkey(key), { ed25519: nodeSignatureCheck.ed25519, mlDsa44: checkMlDsa44 })
}

/**
 * Who cosigned a signed checkpoint by the policy. Throws TlogError `no-quorum` where they are not its quorum: the
 * log's own signature may hold all the same.
 */
export function checkCosigned(note: string, witnesses: Witnesses): readonly Cosigned[] {
  const lines = parseNote(encodeUtf8(note)).signatures.map((signature) => formatSignatureLine(signature).slice(0, -1))
  const { cosigned, isQuorum } = witnesses.hold(note, lines)
  if (isQuorum) return cosigned
  const names = cosigned.map(({ witness }) => witness)
  const detail = names.length === 0 ? 'no witness of the policy has' : `only ${names.join(', ')} of the policy have`
  throw new TlogError('no-quorum', `${detail} cosigned this checkpoint: that is not the quorum`)
}
