import type { TreeSize } from '../../tlog/coords.ts'
import type { Hash } from '../../tlog/hash.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { StoredCosignature } from '../store/cosignatures.ts'

/** A checkpoint as it is served. */
export type PublishedCheckpoint = StoredCheckpoint & {
  /** Lines of cosigners behind those of the note, each ended by LF; empty where there are none. */
  readonly cosignatures: string
}

/** The note with all its signatures. */
export function servedNote({ note, cosignatures }: PublishedCheckpoint): string {
  return note + cosignatures
}

export function withoutCosignatures(checkpoint: StoredCheckpoint): PublishedCheckpoint {
  return { ...checkpoint, cosignatures: '' }
}

/** What others have to say of the log's checkpoints. */
export type Witnessing = {
  /** Whether a checkpoint is published only when its quorum has cosigned it. */
  readonly isAwaited: boolean
  /** Of lines as they are stored, those that hold for the checkpoint; in lines, each ended by LF. */
  readonly hold: (note: string, lines: readonly string[]) => { readonly lines: string; readonly isQuorum: boolean }
  readonly gather: (parts: WitnessingParts) => Gatherer
}

/** What gathering needs of the log. */
export type WitnessingParts = {
  /** The proof that a checkpoint's tree extends that of `from` leaves; checked. */
  readonly prove: (from: TreeSize, checkpoint: StoredCheckpoint) => Promise<readonly Hash[]>
  readonly store: (cosignatures: readonly StoredCosignature[]) => Promise<void>
  /** All that was gathered for a checkpoint, each time that there is more. */
  readonly onGathered: (checkpoint: PublishedCheckpoint, isQuorum: boolean) => void
}

export type Gatherer = {
  /** Throws LogIncident where somebody shows that the log signed more than `last`, or something else. */
  readonly checkFirst: (last: StoredCheckpoint) => Promise<void>
  readonly offer: (checkpoint: StoredCheckpoint) => void
  /** Runs until `signal` aborts. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>
}
