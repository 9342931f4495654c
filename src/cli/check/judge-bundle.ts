import { textVerifier } from '../../../tlog/note.ts'
import type { VerifierKey } from '../../../tlog/note-key.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import { proveBundle } from './bundle.ts'
import { judged } from './judged.ts'
import type { Known, Result } from './result.ts'

/** Checks the bytes of an evidence bundle. */
export function judgeBundle(bytes: Uint8Array, key: VerifierKey, known: Known = {}): Result {
  const { sthKey, witnesses, roots = [], logs = [] } = known
  return judged(key, () => {
    const verifier = textVerifier(key, nodeSignatureCheck)
    return { kind: 'holds', proved: proveBundle(bytes, { verifier, sthKey, witnesses, roots, logs }) }
  })
}
