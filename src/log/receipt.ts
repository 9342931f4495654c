import { encodeUtf8, parseHex } from '../../tlog/bytes.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import type { Hash } from '../../tlog/hash.ts'
import type { StoredEntry } from '../store/entries.ts'
import { leafAt } from './integrate.ts'
import type { Placement } from './pool.ts'
import type { Submission, Utf8 } from './submission.ts'

/** An entry with its leaf, from which all its members but these are read; `payload` is JSON. */
export type EntryWithLeaf = {
  readonly sequenceNumber: number
  readonly leaf: Uint8Array
  readonly leafHash: Hash
  readonly previousHash: Hash
  readonly payload: Utf8
}

/** Accepted submission `j` of a placement as an entry. */
export function placedEntry(submission: Submission, placement: Placement, j: number): EntryWithLeaf {
  const { chainHashes, leafHashes, firstSequenceNumber, timestamp } = placement
  const sequenceNumber = firstSequenceNumber + j
  const currentHash = chainHashes.subarray(32 * (j + 1), 32 * (j + 2)) as Hash
  return {
    sequenceNumber,
    leaf: leafAt(submission, sequenceNumber, timestamp, currentHash),
    leafHash: leafHashes.subarray(32 * j, 32 * (j + 1)) as Hash,
    previousHash: chainHashes.subarray(32 * j, 32 * (j + 1)) as Hash,
    payload: { bytes: submission.bytes, start: submission.jcsStart, end: submission.jcsEnd },
  }
}

/** The payload of a submission as RFC 8785 text. */
export function submittedPayload({ bytes, jcsStart, jcsEnd }: Submission): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + jcsStart, jcsEnd - jcsStart).toString('utf8')
}

/** An entry read back from the ledger, with the leaf that its columns make. */
export function storedEntry({ fields, leafHash, previousHash, payloadText }: StoredEntry): EntryWithLeaf {
  const bytes = encodeUtf8(payloadText)
  return {
    sequenceNumber: fields.sequenceNumber,
    leaf: encodeLeaf(fields),
    leafHash,
    previousHash: parseHex(previousHash) as Hash,
    payload: { bytes, start: 0, end: bytes.length },
  }
}
