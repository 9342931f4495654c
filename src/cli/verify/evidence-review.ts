// What this machine knows of those who cosign and anchor the log's checkpoints, as far as the settings say.
import { createHash, X509Certificate } from 'node:crypto'
import { TlogError } from '../../../tlog/errors.ts'
import { checkLogAnchor } from '../../../tlog/log-anchor.ts'
import { textVerifier } from '../../../tlog/note.ts'
import { formatVkey, parseVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import { policyBytesMax } from '../../../tlog/witness-policy.ts'
import { readAuthorities } from '../../anchor/authorities-file.ts'
import { checkTimeStampToken, TokenError } from '../../anchor/check-token.ts'
import { decodeLogEvidence, decodeStampEvidence, isInLog, isStamp } from '../../anchor/evidence.ts'
import { readAnchorLogs } from '../../anchor/logs-file.ts'
import { checkRenewal, decodeRenewal } from '../../anchor/renewal.ts'
import type { EvidenceReview } from '../../audit/evidence-check.ts'
import type { Config } from '../../config.ts'
import { Witnesses } from '../../cosign/witnesses.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { checkMlDsa44 } from '../../ops/ml-dsa.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'

/**
 * By the files of the settings: who stands in none is believed to be who he says, and what he said must be of the note all
 * the same. Rejects where a file cannot be read.
 */
export async function openEvidenceReview(config: Config, key: VerifierKey): Promise<EvidenceReview> {
  const { timeStamps, anchorLogs, witnessPolicy } = config
  const authorities = timeStamps === undefined ? [] : await readAuthorities(timeStamps)
  const logs = anchorLogs === undefined ? [] : await readAnchorLogs(anchorLogs, key.name, async () => '')
  const check = { ...nodeSignatureCheck, mlDsa44: checkMlDsa44 }
  const witnesses =
    witnessPolicy === undefined
      ? undefined
      : Witnesses.parse(await readGivenFile(witnessPolicy, policyBytesMax), formatVkey(key), check)

  function checkAnchor(note: string, kind: string, evidence: Uint8Array): void {
    if (isStamp({ kind })) {
      const { authority, token, nonce, chain } = decodeStampEvidence(evidence)
      const roots = authorities.find(({ name }) => name === authority)?.roots ?? chain.slice(-1)
      const sha256 = createHash('sha256').update(note).digest()
      checkTimeStampToken(token, { sha256, nonce, roots, others: chain })
    } else if (isInLog({ kind })) {
      const anchor = decodeLogEvidence(evidence)
      const vkey = logs.find(({ name }) => name === anchor.log)?.vkey ?? anchor.vkey
      checkLogAnchor(anchor, note, textVerifier(parseVkey(vkey), nodeSignatureCheck), nativeSha256)
    } else {
      const renewal = decodeRenewal(evidence)
      const roots = authorities.find(({ name }) => name === renewal.authority)?.roots
      checkRenewal(renewal, roots ?? renewal.certificates.slice(-1).map((der) => new X509Certificate(der)))
    }
  }

  return {
    anchor: (note, kind, evidence) => reasonOf(() => checkAnchor(note, kind, evidence)),
    cosignature: (note, line) => witnesses?.findFault(note, line),
  }
}

function reasonOf(check: () => void): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    const isOfEvidence = error instanceof TlogError || error instanceof TokenError || error instanceof TypeError
    // Node's own words for a certificate that is none.
    if (isOfEvidence || (error as NodeJS.ErrnoException).code?.startsWith('ERR_')) return (error as Error).message
    throw error
  }
}
