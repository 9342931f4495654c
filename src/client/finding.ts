import { formatBase64 } from '../../tlog/bytes.ts'
import {
  type EvidenceHead,
  type EvidenceJson,
  type EvidenceLeaf,
  type EvidencePrefix,
  evidenceFormat,
} from '../../tlog/evidence.ts'
import type { LeafFault } from '../../tlog/leaf-order.ts'
import { formatSth, type SignedTreeHead } from '../../tlog/sth.ts'
import type { ServedFile, ServedMismatch, Violation } from './errors.ts'
import type { SignedCheckpoint } from './log-client.ts'

/** What the log did wrong, with what proves it. `known` is the checkpoint that was believed before. */
export type Finding =
  /**
   * Two checkpoints, both signed, of which one does not extend the other: two trees under one name. `prefix` is of the
   * larger one, and shows it to everybody; undefined where the sizes are equal, or its tiles were not to be had.
   */
  | {
      readonly kind: 'FORKED'
      readonly known: SignedCheckpoint
      readonly shown: SignedCheckpoint
      readonly prefix: EvidencePrefix | undefined
    }
  /**
   * Both signed; the one that is shown now is of a smaller tree than one that was shown before, and no other tree as far
   * as can be told: without the tiles of the known tree, or with them for longer than `olderMs`. A log that was restored,
   * or somebody on the way who shows what is old.
   */
  | { readonly kind: 'ROLLBACK'; readonly known: SignedCheckpoint; readonly shown: SignedCheckpoint }
  /** A checkpoint that is not what the log's key may sign, or whose signature does not hold: `violation.evidence`. */
  | { readonly kind: 'BAD_CHECKPOINT'; readonly known: SignedCheckpoint | undefined; readonly violation: Violation }
  /** The tree head that the log signed for RFC 6962 is of another tree than its checkpoint. */
  | {
      readonly kind: 'STH_MISMATCH'
      readonly known: SignedCheckpoint | undefined
      readonly shown: SignedCheckpoint
      readonly sth: SignedTreeHead
      readonly prefix: EvidencePrefix | undefined
    }
  /** Of two signed RFC 6962 tree heads the later one is of the smaller tree. */
  | {
      readonly kind: 'STH_BACKWARDS'
      readonly known: SignedCheckpoint | undefined
      readonly before: SignedTreeHead
      readonly sth: SignedTreeHead
    }
  /** What was served, twice, is not of the tree that was signed. */
  | {
      readonly kind: ServedMismatch['kind']
      readonly known: SignedCheckpoint | undefined
      readonly shown: SignedCheckpoint
      readonly detail: string
      readonly files: readonly ServedFile[]
    }
  /** The signed tree has a leaf that no log may have there. */
  | {
      readonly kind: LeafFault['kind']
      readonly known: SignedCheckpoint | undefined
      readonly shown: SignedCheckpoint
      readonly leafIndex: number
      readonly detail: string
      /** The leaf, behind the one before it where it was held against that. */
      readonly leaves: readonly EvidenceLeaf[]
    }

/** What makes two findings of different checks the same: what is wrong, and where. Bounded, without what a server chose. */
export function placeOf(finding: Finding): string {
  switch (finding.kind) {
    case 'FORKED':
    case 'ROLLBACK':
      return `size ${finding.known.checkpoint.size}`
    case 'BAD_CHECKPOINT':
      return finding.violation.code
    case 'STH_MISMATCH':
    case 'STH_BACKWARDS':
      return 'get-sth'
    case 'TILE_MISMATCH':
    case 'LEAF_MISMATCH':
    case 'PAYLOAD_CORRUPT':
      return finding.files[0]?.path.replace(/\.p\/\d+$/, '') ?? 'tiles'
    default:
      return `leaf ${finding.leafIndex}`
  }
}

/** A finding as a sentence. Texts of the server may be in it. */
export function describeFinding(finding: Finding): string {
  switch (finding.kind) {
    case 'FORKED': {
      const [known, shown] = [finding.known.checkpoint, finding.shown.checkpoint]
      return known.size === shown.size
        ? `two trees of ${known.size} entries are signed: roots ${formatBase64(known.root)} and ${formatBase64(shown.root)}`
        : `a tree of ${known.size} entries and one of ${shown.size} are signed, and neither is the beginning of the other`
    }
    case 'ROLLBACK':
      return `a tree of ${finding.shown.checkpoint.size} entries is shown; one of ${finding.known.checkpoint.size} was shown before`
    case 'BAD_CHECKPOINT':
      return finding.violation.message
    case 'STH_MISMATCH':
      return `the STH of ${finding.sth.size} entries is of another tree than the checkpoint of ${finding.shown.checkpoint.size}`
    case 'STH_BACKWARDS': {
      const { before, sth } = finding
      return `an STH of ${before.size} entries is signed for ${before.timestampMs} ms, and one of ${sth.size} for ${sth.timestampMs} ms`
    }
    default:
      return finding.detail
  }
}

/** A finding as `dendrolog check` reads it; `seenAtMs` is milliseconds since 1970. */
export function evidenceOf(
  finding: Finding,
  seen: { readonly seenAtMs: number; readonly url: string; readonly vkey: string },
): EvidenceJson {
  const { url, vkey, seenAtMs } = seen
  return {
    format: evidenceFormat,
    violationType: finding.kind,
    detail: describeFinding(finding),
    seenAt: new Date(seenAtMs).toISOString(),
    ...{ url, vkey },
    ...headsOf(finding),
    prefix: ('prefix' in finding ? finding.prefix : undefined) ?? null,
    leaves: 'leaves' in finding ? finding.leaves : [],
    files: 'files' in finding ? finding.files.map(({ path, bytes }) => ({ path, bytes: formatBase64(bytes) })) : [],
  }
}

function headsOf(finding: Finding): { readonly known: EvidenceHead | null; readonly shown: EvidenceHead | null } {
  const known = finding.known === undefined ? null : { checkpoint: finding.known.note }
  switch (finding.kind) {
    case 'BAD_CHECKPOINT':
      return { known, shown: { checkpoint: String(finding.violation.evidence) } }
    case 'STH_MISMATCH':
      return { known: { checkpoint: finding.shown.note }, shown: { sth: formatSth(finding.sth) } }
    case 'STH_BACKWARDS':
      return { known: { sth: formatSth(finding.before) }, shown: { sth: formatSth(finding.sth) } }
    default:
      return { known, shown: { checkpoint: finding.shown.note } }
  }
}
