import type { ClientConfig } from 'pg'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import type { Schema } from '../store/batch.ts'
import type { Committer } from '../store/committer.ts'
import { lockIdleTimeoutMs } from '../store/log-lock.ts'
import type { Clock } from './clock.ts'
import type { Witnessing } from './cosigned.ts'
import type { IncidentCode } from './incident.ts'
import type { LogKeys } from './log-keys.ts'
import type { PoolLimits } from './pool.ts'
import type { ProblemCode } from './problem-kind.ts'
import type { SignerCell } from './signer-cell.ts'
import type { LogSigner } from './signing-thread.ts'
import type { TileFilesReader } from './tiles-below.ts'

export type LogOptions = {
  readonly origin: string
  readonly keys: LogKeys
  readonly cell: SignerCell
  readonly schema: Schema
  readonly hash: Sha256
  readonly clock: Clock
  readonly writer: ClientConfig
  readonly reader: ClientConfig
  readonly signer: ClientConfig
  readonly poolLimits: PoolLimits
  readonly batchLimits: PoolLimits
  readonly checkpointIntervalMs: number
  readonly resignIntervalMs: number
  /** Told what made the log stop, and where it stood; it is opened again after a pause. */
  readonly onIncident: (error: unknown, place: LogPlace) => void
  /** Told of each commit and each checkpoint. */
  readonly onMeasured?: (measured: Measured) => void
  /** Called before each attempt to open the log again: brings back a database that is ours to run. */
  readonly beforeReopen?: (signal: AbortSignal) => Promise<void>
  /** Copies of full tiles, which are asked before the database. */
  readonly tileFiles?: TileFilesReader
  /** Opens the signer on what it remembers; in this thread where nothing is said. */
  readonly openSigner?: () => Promise<LogSigner>
  /** Opens the connection that commits. */
  readonly openCommitter: () => Promise<Committer>
  /**
   * Where another server has the lock: stand by until it is free. Only with a cell that several servers share; without,
   * another server is the incident LOCKED.
   */
  readonly standsBy?: boolean
  /** Told when the log begins to lead, works again after a stop, or begins to stand by. */
  readonly onTurn?: (turn: Turn) => void
  /** Others who cosign its checkpoints. */
  readonly witnessing?: Witnessing | undefined
  /** Called when this log begins to stand by: starts what taking over would have to wait for. */
  readonly prepareLeading?: () => void
  /** Where it differs from `defaultTiming`. */
  readonly timing?: Partial<LogTiming>
}

/** A commit, from being handed over until it was durable; or the signing and storing of a checkpoint. */
export type Measured =
  | { readonly kind: 'commit'; readonly entries: number; readonly seconds: number }
  | { readonly kind: 'publish'; readonly seconds: number }

/** What operators want to find in the server's log beside what stopped it. `size` is what is durable. */
export type Turn =
  /** `stoodByMs` is undefined where it did not stand by. */
  | { readonly kind: 'leads'; readonly size: number; readonly stoodByMs: number | undefined }
  | { readonly kind: 'works-again'; readonly size: number; readonly stoppedForMs: number }
  | { readonly kind: 'stands-by'; readonly size: number }

/** The newest checkpoint, and how many entries are known to be durable. */
export type LogPlace = {
  readonly publishedSize: number
  readonly publishedRoot: Hash
  readonly integratedSize: number
}

/** Milliseconds. */
export type LogTiming = {
  readonly reopenPauseMs: number
  /** A head that stays unsigned so long stops sequencing (DESIGN section 4.4). */
  readonly unsignedMaxMs: number
  /** A commit without an answer for so long has an unknown outcome. */
  readonly commitTimeoutMs: number
  /** A commit that the database keeps waiting so long makes the log not ready: a lock, a disk that hangs. */
  readonly commitSlowMs: number
  /** After a disk was full: so long the log is not ready, unless it commits. What it holds can be read and signed meanwhile. */
  readonly outOfRoomMs: number
  /** Whoever holds the lock for so long is another process, and not what is left of one that ended. */
  readonly lockWaitMs: number
  /** A log that stands by looks for a new checkpoint, and for the lock, this often. */
  readonly standbyMs: number
}

// A process that was stopped holds the lock until it has been idle for `lockIdleTimeoutMs`.
export const defaultTiming: LogTiming = {
  reopenPauseMs: 500,
  unsignedMaxMs: 10_000,
  commitTimeoutMs: 30_000,
  commitSlowMs: 5_000,
  outOfRoomMs: 10_000,
  lockWaitMs: lockIdleTimeoutMs + 2_000,
  standbyMs: 100,
}

/** How the log is. `integratedSize` is durable, `publishedSize` signed and served. */
export type LogHealth = {
  readonly isReady: boolean
  /** Whether this log is the one that sequences and signs. */
  readonly isLeader: boolean
  /** Why it takes nothing, in words that everybody may read. */
  readonly problem: string | undefined
  readonly code: ProblemCode | undefined
  /** What kind of problem, where the log found something wrong with its database, clock or company. */
  readonly incident: IncidentCode | undefined
  /** Why others should be asked for what is published, in such words. */
  readonly readProblem: string | undefined
  readonly pendingEntries: number
  readonly integratedSize: number
  readonly publishedSize: number
}
