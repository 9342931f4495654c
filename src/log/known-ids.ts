import { encodeUtf8 } from '../../tlog/bytes.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import type { KnownContent, KnownEntry } from '../store/known-entries.ts'
import type { Group } from './pool.ts'
import { idPrint, type RecentIds } from './recent-ids.ts'
import { eventIdStart, isSameContent, isStoredContent, type Submission, type Utf8, writeContent } from './submission.ts'

/** What becomes of a submission. */
export type Verdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'duplicate' | 'conflict'; readonly sequenceNumber: number }

/** The ids of `groups` that the ledger may know, as UUID texts. */
export function idsToLookUp(groups: readonly Group[], recent: RecentIds): string[] {
  const ids: string[] = []
  for (const { submissions } of groups) {
    for (const submission of submissions) {
      const { clientMadeId, bytes } = submission
      if (clientMadeId && recent.mayHave(bytes, eventIdStart(submission))) ids.push(eventIdText(submission))
    }
  }
  return ids
}

/**
 * Judges submissions one after the other: against the batch that is being committed, the ledger, and those before
 * them in their own batch.
 */
export class IdJudge {
  readonly #underway: BatchIds
  readonly #stored: ReadonlyMap<string, KnownEntry>
  readonly #own: BatchIds
  #nextSequenceNumber: number

  /** At most `submissionsMax` will be judged. */
  constructor(underway: BatchIds, stored: readonly KnownEntry[], nextSequenceNumber: number, submissionsMax: number) {
    this.#underway = underway
    this.#stored = new Map(stored.map((entry) => [entry.eventId, entry]))
    this.#own = new BatchIds(submissionsMax)
    this.#nextSequenceNumber = nextSequenceNumber
  }

  /** Ids that this batch will occupy. Only those that clients chose: nobody can repeat the others by accident. */
  get ownIds(): BatchIds {
    return this.#own
  }

  judge(submission: Submission): Verdict {
    if (submission.clientMadeId) {
      const before = this.#own.find(submission) ?? this.#underway.find(submission)
      if (before !== undefined) {
        return verdict(isSameContent(submission, before.submission), before.sequenceNumber)
      }
      const stored = this.#stored.size === 0 ? undefined : this.#stored.get(eventIdText(submission))
      if (stored !== undefined) {
        // What cannot be compared is not taken for the same: the sender learns of it, and its bytes are kept.
        const isSame = stored.content !== null && isSameAsStored(submission, stored.content)
        return verdict(isSame, stored.sequenceNumber)
      }
      this.#own.add(submission, this.#nextSequenceNumber)
    }
    this.#nextSequenceNumber++
    return isNew
  }
}

const isNew: Verdict = { kind: 'new' }

function verdict(same: boolean, sequenceNumber: number): Verdict {
  return { kind: same ? 'duplicate' : 'conflict', sequenceNumber }
}

/** A submission that is on its way into the ledger, and its place there. */
type Underway = { readonly submission: Submission; readonly sequenceNumber: number }

/** Submissions of one batch, found by their ids. (A Map of texts took longer than all hashing of the batch.) */
export class BatchIds {
  /** Slot to place in `#submissions`, counted from 1; 0 is empty. A power of two of them, at most half used. */
  #slots = new Uint32Array(1)
  readonly #submissionsMax: number
  readonly #submissions: Submission[] = []
  readonly #sequenceNumbers: number[] = []

  constructor(submissionsMax: number) {
    this.#submissionsMax = submissionsMax
  }

  find(submission: Submission): Underway | undefined {
    if (this.#submissions.length === 0) return undefined
    const place = this.#slots[this.#slotOf(submission)] as number
    if (place === 0) return undefined
    return {
      submission: this.#submissions[place - 1] as Submission,
      sequenceNumber: this.#sequenceNumbers[place - 1] as number,
    }
  }

  /** Adds what `find` does not find. */
  add(submission: Submission, sequenceNumber: number): void {
    if (this.#submissions.length === 0) {
      this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * this.#submissionsMax)))
    }
    const slot = this.#slotOf(submission)
    this.#sequenceNumbers.push(sequenceNumber)
    this.#slots[slot] = this.#submissions.push(submission)
  }

  /** The slot of an equal id, or the empty one where it belongs. */
  #slotOf(submission: Submission): number {
    const mask = this.#slots.length - 1
    let slot = idPrint(submission.bytes, eventIdStart(submission)) & mask
    for (let place = this.#slots[slot]; place !== 0; place = this.#slots[slot]) {
      if (isSameId(this.#submissions[(place as number) - 1] as Submission, submission)) return slot
      slot = (slot + 1) & mask
    }
    return slot
  }
}

function isSameId(a: Submission, b: Submission): boolean {
  const aStart = eventIdStart(a)
  const bStart = eventIdStart(b)
  for (let i = 0; i < 16; i++) if (a.bytes[aStart + i] !== b.bytes[bStart + i]) return false
  return true
}

function eventIdText(submission: Submission): string {
  const start = eventIdStart(submission)
  return formatUuid(submission.bytes.subarray(start, start + 16))
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
