import { type CoseLog, openConsistencyReceipt, openInclusionReceipt } from '../../../tlog/cose-checkpoint.ts'
import { receiptKind } from '../../../tlog/cose-receipt.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import type { Known, Result } from './result.ts'

/** Checks a COSE receipt, which says neither of which leaf it is nor from which root it goes on. */
export function judgeCose(bytes: Uint8Array, origin: string, { leaf, fromRoot, sthKey, witnesses }: Known): Result {
  const kind = receiptKind(bytes)
  if (sthKey === undefined)
    return unknown('no-sth-key', 'a COSE receipt is signed with the log’s P-256 key: want --sth-key')
  if (witnesses !== undefined) return unknown('no-quorum', 'a COSE receipt carries no cosignatures')
  const log: CoseLog = { origin, spki: sthKey, check: nodeSignatureCheck }
  if (kind === 'consistency') {
    if (fromRoot === undefined)
      return unknown('no-root', 'a COSE receipt does not carry the smaller root: want --from-root')
    const { from, to, root } = openConsistencyReceipt(bytes, fromRoot, log, nativeSha256)
    const proved = { kind: 'consistency', from, fromRoot, to, toRoot: root } as const
    return { kind: 'holds', proved: { ...proved, checkpoint: { origin, size: to, root, extensions: [] } } }
  }
  if (leaf === undefined) return unknown('no-leaf-hash', 'a COSE receipt does not carry its leaf: want --leaf-hash')
  const { leafIndex, treeSize, root } = openInclusionReceipt(bytes, leaf, log, nativeSha256)
  const proved = { kind: 'leaf', leafIndex, leafHash: leaf, treeSize } as const
  return { kind: 'holds', proved: { ...proved, checkpoint: { origin, size: treeSize, root, extensions: [] } } }
}

function unknown(code: string, detail: string): Result {
  return { kind: 'unknown', code, detail }
}
