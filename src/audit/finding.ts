import type { ScannedColumn } from '../store/ledger-scan.ts'

/** What of a row is wrong, as far as its hashes tell: a column, or columns that are in the same hashes. */
export type FieldClass =
  | ScannedColumn
  /** Actor, action, resource: the chain hash is of them. */
  | 'actorId, action or resource'
  /** Of these only the leaf is. */
  | 'timestamp, eventId, occurredAt, lamport, clientIp, writer or sourcePosition'

/** Entries `sequenceNumber` to `lastSequenceNumber`, all with the same finding; evidence is of the first of them. */
type OfEntries = { readonly sequenceNumber: number; readonly lastSequenceNumber: number }

/** Hashes in lower-case hex; null where there is none, or none can be made. */
type OfHashes = {
  /** Of the columns as they are stored. */
  readonly computed: string | null
  readonly stored: string | null
  /** Why nothing could be computed. */
  readonly reason?: string
}

/** What is wrong with rows of the ledger. */
export type RowFinding = OfEntries &
  (
    | {
        /** The rows of these numbers are not there; or, `isRepeated`, are there again. */
        readonly kind: 'GAP_IN_SEQUENCE'
        readonly isRepeated: boolean
      }
    | {
        /** `previous_hash` is not the predecessor's `current_hash`. */
        readonly kind: 'CHAIN_HASH_BROKEN'
        readonly previousHash: string | null
        readonly predecessorsHash: string | null
      }
    | {
        /** The chain hash of the columns is not `current_hash`. */
        readonly kind: 'PAYLOAD_CORRUPT'
        readonly fields: FieldClass
        readonly chainHash: OfHashes
      }
    | {
        /** Entry 1 is not there, or its `previous_hash` is not 64 zeros. */
        readonly kind: 'GENESIS_TAMPER'
        readonly isMissing: boolean
        readonly previousHash: string | null
      }
    | {
        /** Leaf of the columns, stored leaf hash and tile are not one; the chain hash may be right. */
        readonly kind: 'LEAF_MISMATCH'
        readonly fields: FieldClass
        readonly leafHash: OfHashes & { readonly tile: string | null }
      }
    | {
        /** The entry's time is before that of its predecessor. Microseconds since 1970. */
        readonly kind: 'CLOCK_BACKWARDS'
        readonly timestamp: number
        readonly predecessorsTimestamp: number
      }
    | {
        /** The table of known ids has not this entry's id, or has it for another entry (`knownAs`). */
        readonly kind: 'KNOWN_IDS_MISMATCH'
        readonly eventId: string
        readonly knownAs: number | null
      }
    | {
        /** Two entries have one id. */
        readonly kind: 'IDEMPOTENCY_CONFLICT'
        readonly eventId: string
        readonly otherSequenceNumber: number
      }
  )

/** What is wrong with the tree, what was signed of it, or what stands around it. */
export type TreeFinding =
  | {
      readonly kind: 'TILE_MISMATCH'
      readonly level: number
      readonly index: number
      readonly problem: 'missing' | 'altered' | 'mid roots altered' | 'not full'
    }
  | {
      /** Rows were written anew, each agreeing with itself and with the next, but not with the tree. */
      readonly kind: 'ROOT_MISMATCH'
      readonly of: 'entries'
      readonly sequenceNumber: number
      readonly lastSequenceNumber: number
      readonly leafHash: string
      readonly tile: string
    }
  | {
      /** A head or checkpoint is not of the tree that the rows make. */
      readonly kind: 'ROOT_MISMATCH'
      readonly of: 'head' | 'checkpoint'
      /** From this size on; and up to `lastTreeSize` all of them are. */
      readonly treeSize: number
      readonly lastTreeSize: number
      /** The entries since the last one that is right: the first ones that may be wrong. */
      readonly sequenceNumber: number
      readonly lastSequenceNumber: number
      /** In what: of hashes of the first one. */
      readonly differs: 'root' | 'nodes' | 'chain hash'
      readonly computed: string
      readonly stored: string
    }
  | { readonly kind: 'FORGED_HEAD'; readonly treeSize: number; readonly reason: string }
  | {
      /** Rows above the newest head that is sealed. */
      readonly kind: 'UNSEALED_ROWS'
      readonly sequenceNumber: number
      readonly lastSequenceNumber: number
      readonly count: number
    }
  | {
      /** The end of the log is cut off: somebody knows it longer. */
      readonly kind: 'HEAD_TRUNCATED'
      readonly treeSize: number
      readonly knownSize: number
      readonly knownBy: 'head' | 'checkpoint'
      /** The first entry that is gone. */
      readonly sequenceNumber: number
    }
  | {
      /** Of one size, or of a part of the tree, somebody outside knows another root. */
      readonly kind: 'FORKED'
      readonly treeSize: number
      readonly knownBy: string
      readonly computed: string
      readonly known: string
    }
  | {
      /** The database is as it was before: somebody outside knows a larger tree. */
      readonly kind: 'ROLLBACK'
      readonly treeSize: number
      readonly knownSize: number
      readonly knownBy: string
    }
  | {
      /** The signer's memory, which every log has, is not there; others may still know how far the log was. */
      readonly kind: 'SIGNER_MEMORY_MISSING'
      readonly place: string
      /** The largest tree that somebody else knows to be signed; null where nobody knows any. */
      readonly knownSize: number | null
      readonly knownBy: string | null
    }
  | {
      /** The signer's memory is older than what was signed: it was restored, and with it perhaps the database. */
      readonly kind: 'SIGNER_MEMORY_STALE'
      /** What it remembers; times in milliseconds since 1970. */
      readonly treeSize: number
      readonly timestampMs: number
      readonly knownSize: number
      readonly knownTimestampMs: number | null
      readonly knownBy: string
    }
  | {
      readonly kind: 'SIGNATURE_INVALID'
      readonly checkpoint: number
      /** Null where the row cannot be read. */
      readonly treeSize: number | null
      readonly reason: string
    }
  | {
      /** An anchor (`rfc3161/NAME`, `log/NAME`) is not one of the checkpoint's note, or not of whom it names. */
      readonly kind: 'ANCHOR_INVALID'
      readonly checkpoint: number
      readonly anchor: string
      readonly reason: string
    }
  | {
      /** A witness of the policy did not cosign this checkpoint, though it is stored so. */
      readonly kind: 'COSIGNATURE_INVALID'
      readonly checkpoint: number
      readonly witness: string
      readonly reason: string
    }
  | {
      /** Checkpoints of these numbers are not stored. */
      readonly kind: 'CHECKPOINT_MISSING'
      readonly checkpoint: number
      readonly lastCheckpoint: number
      readonly knownBy: string
    }
  | {
      /** Times in milliseconds since 1970. */
      readonly kind: 'CLOCK_BACKWARDS'
      readonly checkpoint: number
      readonly timestampMs: number
      readonly predecessorsTimestampMs: number
    }
  | { readonly kind: 'KNOWN_IDS_MISMATCH'; readonly eventId: string; readonly knownAs: number }
  | { readonly kind: 'SCHEMA_TAMPERED'; readonly object: string; readonly reason: string }

/** A violation, by the name that alert rules key on (`kind`), with its place and its evidence. */
export type Finding = RowFinding | TreeFinding

/** The entry that a finding is about, or the first of them; undefined where it is about none. */
export function sequenceNumberOf(finding: Finding): number | undefined {
  return 'sequenceNumber' in finding ? finding.sequenceNumber : undefined
}
