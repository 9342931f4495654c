import type { Schema } from '../store/batch.ts'
import {
  type AnchorPlace,
  beforeAnchorsOf,
  readAnchorsWithNotes,
  readCosignaturesWithNotes,
} from '../store/evidence-reads.ts'
import type { Query } from '../store/session.ts'
import type { Findings } from './findings.ts'

/**
 * Says why what others said of a checkpoint is not about its note, or not theirs; undefined where it is, or where nobody
 * here knows them.
 */
export type EvidenceReview = {
  readonly anchor: (note: string, kind: string, evidence: Uint8Array) => string | undefined
  readonly cosignature: (note: string, line: string) => string | undefined
}

/** Checkpoints whose cosignatures are checked, the newest: a busy log has a million of them a day. */
export const cosignedChecked = 10_000
/** Of the newest checkpoints, by each probe beside those that are new. */
const evidenceProbed = 300
type AnchorPage = Awaited<ReturnType<typeof readAnchorsWithNotes>>
const anchorsAtOnce = 200
const checkpointsAtOnce = 500

/** What is looked at with checkpoint numbers from `from` on: all, or what came since `seen` and a little before. */
export function evidenceSpan(
  from: number,
  seen: number,
  next: number,
): { readonly from: number; readonly next: number } {
  return { from: from === 0 ? 0 : seen - evidenceProbed, next }
}

/**
 * Stored cosignatures and anchors against the notes that they are of: whoever signs old trees anew, with a key that was
 * stolen, cannot make others say it. Of the checkpoints from number `from` on; `next` is the number behind the newest.
 */
export async function checkEvidence(
  query: Query,
  schema: Schema,
  review: EvidenceReview | undefined,
  { from, next }: { readonly from: number; readonly next: number },
  findings: Findings,
): Promise<void> {
  if (review === undefined) return
  for (let after: AnchorPlace | undefined = beforeAnchorsOf(from); after !== undefined; ) {
    const { anchors, last }: AnchorPage = await readAnchorsWithNotes(query, schema, after, anchorsAtOnce)
    for (const anchor of anchors) {
      const { checkpoint, kind } = anchor
      const reason = 'reason' in anchor ? anchor.reason : review.anchor(anchor.note, kind, anchor.evidence)
      if (reason !== undefined) findings.addTree({ kind: 'ANCHOR_INVALID', checkpoint, anchor: kind, reason })
    }
    after = last
  }
  for (let first = Math.max(0, from, next - cosignedChecked); first < next; first += checkpointsAtOnce) {
    const last = Math.min(next, first + checkpointsAtOnce) - 1
    for (const found of await readCosignaturesWithNotes(query, schema, first, last)) {
      const { checkpoint, witness } = found
      const reason = 'reason' in found ? found.reason : review.cosignature(found.note, found.line)
      if (reason !== undefined) findings.addTree({ kind: 'COSIGNATURE_INVALID', checkpoint, witness, reason })
    }
  }
}
