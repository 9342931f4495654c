import { encodeUtf8 } from '../../tlog/bytes.ts'
import type { KnownContent, KnownEntry } from '../store/known-entries.ts'
import type { Group } from './pool.ts'
import { eventIdStart, isSameContent, isStoredContent, type Submission, type Utf8, writeContent } from './submission.ts'

/** A submission that is on its way into the ledger, and its place there. */
export type Underway = { readonly submission: Submission; readonly sequenceNumber: number }

/** Ids of a batch that is not committed yet. Keys are the 16 bytes as a latin-1 string. */
export type UnderwayIds = ReadonlyMap<string, Underway>

/** What becomes of a submission. */
export type Verdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'duplicate' | 'conflict'; readonly sequenceNumber: number }

/** The ids that clients chose, as UUID texts: what may be known already. */
export function clientMadeIds(groups: readonly Group[]): string[] {
  return groups.flatMap((group) => group.submissions.filter((s) => s.clientMadeId).map(eventIdText))
}

/**
 * Judges submissions one after the other: against the batch that is being committed, the ledger, and those before
 * them in their own batch.
 */
export class IdJudge {
  readonly #underway: UnderwayIds
  readonly #stored: ReadonlyMap<string, KnownEntry>
  readonly #own = new Map<string, Underway>()
  #nextSequenceNumber: number

  constructor(underway: UnderwayIds, stored: readonly KnownEntry[], nextSequenceNumber: number) {
    this.#underway = underway
    this.#stored = new Map(stored.map((entry) => [entry.eventId, entry]))
    this.#nextSequenceNumber = nextSequenceNumber
  }

  /** Ids that this batch will occupy. Only those that clients chose: nobody can repeat the others by accident. */
  get ownIds(): UnderwayIds {
    return this.#own
  }

  judge(submission: Submission): Verdict {
    if (submission.clientMadeId) {
      const key = eventIdKey(submission)
      const before = this.#own.get(key) ?? this.#underway.get(key)
      if (before !== undefined) {
        return verdict(isSameContent(submission, before.submission), before.sequenceNumber)
      }
      const stored = this.#stored.size === 0 ? undefined : this.#stored.get(eventIdText(submission))
      if (stored !== undefined) {
        // What cannot be compared is not taken for the same: the sender learns of it, and its bytes are kept.
        const isSame = stored.content !== null && isSameAsStored(submission, stored.content)
        return verdict(isSame, stored.sequenceNumber)
      }
      this.#own.set(key, { submission, sequenceNumber: this.#nextSequenceNumber })
    }
    this.#nextSequenceNumber++
    return isNew
  }
}

const isNew: Verdict = { kind: 'new' }

function verdict(same: boolean, sequenceNumber: number): Verdict {
  return { kind: same ? 'duplicate' : 'conflict', sequenceNumber }
}

function eventIdKey(submission: Submission): string {
  const start = eventIdStart(submission)
  return Buffer.from(submission.bytes.buffer, submission.bytes.byteOffset + start, 16).toString('latin1')
}

function eventIdText(submission: Submission): string {
  const start = eventIdStart(submission)
  const hex = Buffer.from(submission.bytes.buffer, submission.bytes.byteOffset + start, 16).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function isSameAsStored(submission: Submission, stored: KnownContent): boolean {
  const texts = { actorId: utf8(stored.actorId), action: utf8(stored.action), resource: utf8(stored.resource) }
  const out = new Uint8Array(32 + 3 * 1_024)
  const end = writeContent(out, 0, { ...texts, occurredAt: stored.occurredAt, lamport: stored.lamport })
  return isStoredContent(submission, out.subarray(0, end), stored.payloadHash)
}

function utf8(text: string): Utf8 {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}
