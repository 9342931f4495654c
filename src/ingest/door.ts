import type { Sha256 } from '../../tlog/hash.ts'
import type { Placement } from '../log/pool.ts'
import type { Submission } from '../log/submission.ts'
import type { QuarantinedRecord } from '../store/quarantine.ts'

/** What a door needs of the log. */
export type Door = {
  readonly submit: (submissions: readonly Submission[], release?: () => void) => Promise<Placement>
  /** Stores records that cannot become entries; resolves when they are durable. */
  readonly quarantine: (records: readonly QuarantinedRecord[]) => Promise<void>
  readonly makeId: () => Uint8Array
  readonly hash: Sha256
}

/** A record that was not plainly accepted. */
export type RecordResult = {
  readonly i: number
  readonly status: 'duplicate' | 'quarantined'
  readonly code: string
  readonly detail: string
  readonly pointer?: string
  readonly sequenceNumber?: number
  readonly quarantineId?: string
}
