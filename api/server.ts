import type { Principal } from '../src/auth/principal.ts'
import type { TokenOffice } from '../src/auth/token-office.ts'
import type { IncidentOffice } from '../src/incident/incident-office.ts'
import type { Door } from '../src/ingest/door.ts'
import type { PublishedCheckpoint } from '../src/log/cosigned.ts'
import type { Log } from '../src/log/log.ts'
import type { Metrics } from '../src/ops/metrics.ts'
import type { SearchTables } from '../src/search/search-tables.ts'
import type { StoredCheckpoint } from '../src/store/checkpoints.ts'
import type { EntryReads } from '../src/store/entries.ts'
import type { Sha256 } from '../tlog/hash.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { RateLimiter } from './rate-limit.ts'
import type { OnUnexpected, ProblemTellers } from './tellers.ts'

/** What a log tells the world of itself. */
export type LogIdentity = {
  readonly origin: string
  readonly vkey: string
  readonly sthPublicKey: string
  readonly logId: string
}

export type ApiLimits = {
  readonly bodyBytesMax: number
  readonly recordsMax: number
  readonly checkpointIntervalMs: number
  readonly resignIntervalMs: number
}

export type ApiTimes = {
  /** Shippers give up after 30 s: until when a request is answered, its body included. */
  readonly answerMs: number
  /** From when on a body must come faster than a KiB a second. */
  readonly paceMs: number
}

/** Where the verifier of a log stands. Sizes in entries, times in milliseconds since 1970; null: not known. */
export type VerifierStanding = {
  /** Whether a process of this server verifies. */
  readonly runsHere: boolean
  /** Why it cannot check all that it should; null where it can, as far as is known. */
  readonly failure: string | null
  readonly size: number | null
  readonly verifiedSize: number | null
  /** The last time that it could check all that it should. */
  readonly checkedMs: number | null
  /** When the round began after which all was hashed again. */
  readonly coveredMs: number | null
  /** When it wrote down where it stands. */
  readonly savedMs: number | null
  /** Ranges of the round that goes on, and how many of them are done. */
  readonly ranges: number | null
  readonly rangesDone: number | null
  readonly findings: number | null
  /** All is to be hashed again within so many hours. */
  readonly withinHours: number
}

/** What the routes need; functions where it is not the log itself. */
export type Server = {
  readonly log: Log
  readonly identity: LogIdentity
  readonly limits: ApiLimits
  readonly times: ApiTimes
  /** Who cosigns its checkpoints; undefined where nobody does. */
  readonly witnesses:
    | { readonly hasQuorum: boolean; readonly known: readonly { readonly name: string; readonly vkey: string }[] }
    | undefined
  /** Whether a checkpoint is published only when they have. */
  readonly publishesAfterQuorum: boolean
  /** Bytes of the bodies that are under way, of all requests. */
  readonly bodyBudget: ByteBudget
  /** Bytes of the entries that are being read and answered, of all requests. */
  readonly readBudget: ByteBudget
  /** Bytes of the larger answers that everybody may have: who takes no token takes nothing from those who do. */
  readonly openBudget: ByteBudget
  readonly hash: Sha256
  readonly door: Door
  readonly publicEntries: boolean
  /** At once where the answer is known. */
  readonly authenticate: (secret: string) => Principal | undefined | Promise<Principal | undefined>
  readonly tokens: TokenOffice
  readonly incidents: IncidentOffice
  readonly readVerifier: () => Promise<VerifierStanding>
  readonly rateLimiter: RateLimiter
  /** Of the ledger. */
  readonly entries: EntryReads
  /** Up to `limit` checkpoints with numbers above `after`, in order. */
  readonly readCheckpoints: (after: number, limit: number) => Promise<readonly PublishedCheckpoint[]>
  /** The newest checkpoint of exactly `size` entries with a number of at most `last`. */
  readonly readCheckpointOfSize: (size: number, last: number) => Promise<StoredCheckpoint | undefined>
  /** The evidence bundle of published entries, by their numbers in order. */
  readonly makeBundle: (sequenceNumbers: readonly number[], withPayloads: boolean) => Promise<Uint8Array>
  readonly search: Omit<SearchTables, 'run'>
  readonly findSequenceNumber: (id: string) => Promise<number | undefined>
  /** Names of the logins to the database that do not work now. Never rejects. */
  readonly failingLogins: () => Promise<readonly string[]>
  /** Told of each request of an auditor for entries, by the pattern of its path. */
  readonly onEntriesRead: (identity: string, route: string) => void
  readonly metrics: Metrics
  /** Whether everybody may read them; otherwise administrators. */
  readonly publicMetrics: boolean
  /** Whether everybody may read what the paths are; otherwise administrators. */
  readonly publicDocs: boolean
  /** Told of what a handler did not expect. */
  readonly onUnexpected: OnUnexpected
  /** Told of every problem that is answered. */
  readonly onRefused: ProblemTellers['onRefused']
}
