import type { X509Certificate } from 'node:crypto'
import { encodeLeaf } from '../../../tlog/entry.ts'
import { type Hash, leafHash } from '../../../tlog/hash.ts'
import type { VerifierKey } from '../../../tlog/note-key.ts'
import type { ProvedConsistency, ProvedLeaf } from '../../../tlog/proof-json.ts'
import type { CheckedReceipt } from '../../../tlog/receipt.ts'
import type { Cosigned, Witnesses } from '../../cosign/witnesses.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { type ExitStatus, exitCouldNotCheck, exitHolds, exitViolation } from '../command.ts'
import type { ProvedBundle } from './bundle.ts'

/** What a file shows: an entry with all it says, a leaf of which only the hash is known, or that a tree extends another. */
export type Proved = ProvedEntry | ProvedLeaf | ProvedConsistency | ProvedBundle

/** `isOwnAct`: the log itself did what the entry says, and signed that. */
export type ProvedEntry = { readonly kind: 'entry'; readonly isOwnAct: boolean } & CheckedReceipt

/** What came of a check. `code` is a TlogError's, or says why nothing could be checked. */
export type Result =
  | {
      readonly kind: 'holds'
      readonly proved: Proved
      /** The witnesses of the policy that was given, who are its quorum. */
      readonly cosigned?: readonly Cosigned[]
    }
  | { readonly kind: 'violated' | 'unknown'; readonly code: string; readonly detail: string }

export const exitStatuses: Readonly<Record<Result['kind'], ExitStatus>> = {
  holds: exitHolds,
  violated: exitViolation,
  unknown: exitCouldNotCheck,
}

/** What a caller knows beside the log's key. */
export type Known = {
  /** The hash that the leaf must have. */
  readonly leaf?: Hash | undefined
  /** Of the smaller tree, for a COSE receipt of consistency. */
  readonly fromRoot?: Hash | undefined
  /** SPKI of the log's key of STHs, for evidence and COSE receipts. */
  readonly sthKey?: Uint8Array | undefined
  /** Who must have cosigned the checkpoint. */
  readonly witnesses?: Witnesses | undefined
  /** Whose time-stamp authorities are trusted. */
  readonly roots?: readonly X509Certificate[] | undefined
  /** Keys of other logs that the log's checkpoints are put into. */
  readonly logs?: readonly VerifierKey[] | undefined
}

/** Undefined where it is about trees, or several entries. */
export function leafHashOf(proved: Proved): Hash | undefined {
  if (proved.kind === 'consistency' || proved.kind === 'bundle') return undefined
  return proved.kind === 'leaf' ? proved.leafHash : leafHash(encodeLeaf(proved.fields), nativeSha256)
}
