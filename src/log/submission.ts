import { writeHex } from '../../tlog/bytes.ts'
import { copyInto, writeByteString, writeNull, writeTextString, writeUnsignedOrNull } from '../../tlog/cbor.ts'
import { leafHeadBytesMax, leafTailBytes, writeLeafHead, writeLeafTail } from '../../tlog/entry.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { writeBytesField, writeNullField } from '../store/copy-binary.ts'
import { writeIntegerOrNull, writeJsonbField, writeTimestampOrNull } from '../store/ledger-row.ts'
import type { Arena } from './arena.ts'

/** UTF-8 of a text: bytes[start, end). */
export type Utf8 = { readonly bytes: Uint8Array; readonly start: number; readonly end: number }

/** A checked audit event, before it is encoded. Times are microseconds since 1970. */
export type SubmissionFields = {
  /** 16 bytes. */
  readonly eventId: Uint8Array
  readonly clientMadeId: boolean
  readonly occurredAt: number | null
  readonly lamport: number | null
  readonly actorId: Utf8
  readonly action: Utf8
  readonly resource: Utf8
  readonly clientIp: Utf8
  /** RFC 8785 text of the payload, and the chain text where it differs. */
  readonly jcsText: Utf8
  readonly chainText: Utf8
}

/** Who submits, and from where: the same for all records of a request. */
export type Provenance = { readonly writer: Utf8; readonly sourcePosition: Utf8 | null }

/** Room before and behind the chain's middle: digits of a sequence number, hex of the previous hash. */
const chainRoomBefore = 16
const chainRoomBehind = 64
/** Room before and behind the leaf's middle: 0x00 and elements 1 to 4; element 14. */
const leafRoomBefore = 1 + leafHeadBytesMax
const leafRoomBehind = leafTailBytes

/**
 * An audit event that has arrived and is not yet an entry, encoded once: all of its chain text, leaf and ledger row
 * that does not depend on its place. Offsets are into `bytes`, which the submissions of a request share. Around the
 * middles of chain text and leaf there is room for what does depend on it: whoever gives the entry its place, and
 * nobody else, writes there (`chainTextAt`, `leafAt`).
 */
export type Submission = {
  readonly bytes: Uint8Array
  readonly clientMadeId: boolean
  /** "||actor||action||resource||chain text||", what stands between sequence number and previous hash. */
  readonly chainStart: number
  readonly chainEnd: number
  /** Elements 5 to 13 of the leaf; the first five of them end at `contentEnd`, the last 32 bytes are the payload's hash. */
  readonly leafStart: number
  readonly contentEnd: number
  readonly leafEnd: number
  /** The tail of the ledger row; the event id stands 4 bytes in. */
  readonly rowStart: number
  readonly rowEnd: number
  /** JCS text of the payload. */
  readonly jcsStart: number
  readonly jcsEnd: number
}

/** Where the 16 bytes of the event id stand in `submission.bytes`. */
export function eventIdStart(submission: Submission): number {
  return submission.rowStart + 4
}

/** Encodes a checked event into the arena. */
export function encodeSubmission(
  arena: Arena,
  fields: SubmissionFields,
  provenance: Provenance,
  sha256: Sha256,
): Submission {
  const { chunk, start } = arena.reserve(bytesNeeded(fields, provenance))
  const chainStart = start + chainRoomBefore
  const chainEnd = writeChainMiddle(chunk, chainStart, fields)
  const chainTextStart = chainEnd - 2 - length(fields.chainText)
  const sameText = fields.jcsText === fields.chainText
  const roomEnd = chainEnd + chainRoomBehind
  const jcsStart = sameText ? chainTextStart : roomEnd
  const jcsEnd = sameText ? chainEnd - 2 : put(chunk, roomEnd, fields.jcsText)
  const leafStart = Math.max(roomEnd, jcsEnd) + leafRoomBefore
  const contentEnd = writeContent(chunk, leafStart, fields)
  const leafEnd = writeOrigin(chunk, contentEnd, fields, provenance, jcsStart, jcsEnd, sha256)
  const rowStart = leafEnd + leafRoomBehind
  const rowEnd = writeRowTail(chunk, rowStart, leafEnd - 32, fields, provenance, jcsStart, jcsEnd)
  arena.commit(rowEnd)
  return {
    bytes: chunk,
    clientMadeId: fields.clientMadeId,
    chainStart,
    chainEnd,
    leafStart,
    contentEnd,
    leafEnd,
    rowStart,
    rowEnd,
    jcsStart,
    jcsEnd,
  }
}

/**
 * Completes the text that the chain hash is of, in place, and returns where it begins; it ends 64 bytes behind
 * `chainEnd`. The previous hash is 32 bytes at `hashes[hashStart]`.
 */
export function completeChainText(
  { bytes, chainStart, chainEnd }: Submission,
  sequenceNumber: number,
  hashes: Uint8Array,
  hashStart: number,
): number {
  writeHex(bytes, chainEnd, hashes, hashStart, hashStart + 32)
  let at = chainStart
  for (let n = sequenceNumber; n > 0; n = Math.floor(n / 10)) bytes[--at] = 0x30 + (n % 10)
  return at
}

/**
 * Completes what the leaf hash is of, 0x00 and the leaf, in place, and returns where it begins; it ends at
 * `leafEnd + leafTailBytes`. The chain hash of the entry is 32 bytes at `hashes[hashStart]`.
 */
export function completeLeaf(
  submission: Submission,
  sequenceNumber: number,
  timestamp: number,
  hashes: Uint8Array,
  hashStart: number,
): number {
  const { bytes, leafStart, leafEnd } = submission
  const headEnd = writeLeafHead(head, 1, sequenceNumber, bytes, eventIdStart(submission), timestamp)
  copyInto(bytes, leafStart - headEnd, head, 0, headEnd)
  writeLeafTail(bytes, leafEnd, hashes, hashStart)
  return leafStart - headEnd
}

/** Whether two submissions say the same (DESIGN section 3): address, writer and source position may differ. */
export function isSameContent(a: Submission, b: Submission): boolean {
  return (
    equalRanges(a.bytes, a.leafStart, a.contentEnd, b.bytes, b.leafStart, b.contentEnd) &&
    equalRanges(a.bytes, a.leafEnd - 32, a.leafEnd, b.bytes, b.leafEnd - 32, b.leafEnd)
  )
}

/** The content of an entry that is in the ledger, in the form of a submission's leaf: elements 5 to 9, payload hash. */
export function isStoredContent(submission: Submission, content: Uint8Array, payloadHash: Uint8Array): boolean {
  const { bytes, leafStart, contentEnd, leafEnd } = submission
  return (
    equalRanges(bytes, leafStart, contentEnd, content, 0, content.length) &&
    equalRanges(bytes, leafEnd - 32, leafEnd, payloadHash, 0, payloadHash.length)
  )
}

/** Elements 5 to 9 of a leaf: when, clock, who, what, on what. */
export function writeContent(
  out: Uint8Array,
  at: number,
  fields: Pick<SubmissionFields, 'occurredAt' | 'lamport' | 'actorId' | 'action' | 'resource'>,
): number {
  let to = writeUnsignedOrNull(out, at, fields.occurredAt)
  to = writeUnsignedOrNull(out, to, fields.lamport)
  to = putText(out, to, fields.actorId)
  to = putText(out, to, fields.action)
  return putText(out, to, fields.resource)
}

const bar = 0x7c

function bytesNeeded(fields: SubmissionFields, provenance: Provenance): number {
  const texts = length(fields.actorId) + length(fields.action) + length(fields.resource)
  const origin = length(fields.clientIp) + length(provenance.writer) + length(provenance.sourcePosition)
  // Three times the texts (chain, leaf, row), twice the origin (leaf, row), and the rooms, heads and separators.
  return 3 * texts + 2 * origin + length(fields.chainText) + 2 * length(fields.jcsText) + 480
}

function writeChainMiddle(out: Uint8Array, at: number, fields: SubmissionFields): number {
  let to = at
  for (const text of [fields.actorId, fields.action, fields.resource, fields.chainText]) {
    out[to] = bar
    out[to + 1] = bar
    to = put(out, to + 2, text)
  }
  out[to] = bar
  out[to + 1] = bar
  return to + 2
}

function writeOrigin(
  out: Uint8Array,
  at: number,
  fields: SubmissionFields,
  provenance: Provenance,
  jcsStart: number,
  jcsEnd: number,
  sha256: Sha256,
): number {
  let to = putText(out, at, fields.clientIp)
  to = putText(out, to, provenance.writer)
  to = provenance.sourcePosition === null ? writeNull(out, to) : putText(out, to, provenance.sourcePosition)
  sha256(out, jcsStart, jcsEnd, scratch, 0)
  return writeByteString(out, to, scratch, 0, 32)
}

function writeRowTail(
  out: Uint8Array,
  at: number,
  payloadHashStart: number,
  fields: SubmissionFields,
  provenance: Provenance,
  jcsStart: number,
  jcsEnd: number,
): number {
  let to = writeBytesField(out, at, fields.eventId, 0, 16)
  to = writeTimestampOrNull(out, to, fields.occurredAt)
  to = writeIntegerOrNull(out, to, fields.lamport)
  to = putField(out, to, fields.actorId)
  to = putField(out, to, fields.action)
  to = putField(out, to, fields.resource)
  to = writeJsonbField(out, to, out, jcsStart, jcsEnd)
  to = putField(out, to, fields.clientIp)
  to = putField(out, to, provenance.writer)
  to = provenance.sourcePosition === null ? writeNullField(out, to) : putField(out, to, provenance.sourcePosition)
  return writeBytesField(out, to, out, payloadHashStart, payloadHashStart + 32)
}

const scratch = new Uint8Array(32)
/** 0x00, then the head of a leaf. */
const head = new Uint8Array(leafRoomBefore)

function length(text: Utf8 | null): number {
  return text === null ? 0 : text.end - text.start
}

function put(out: Uint8Array, at: number, text: Utf8): number {
  return copyInto(out, at, text.bytes, text.start, text.end)
}

function putText(out: Uint8Array, at: number, text: Utf8): number {
  return writeTextString(out, at, text.bytes, text.start, text.end)
}

function putField(out: Uint8Array, at: number, text: Utf8): number {
  return writeBytesField(out, at, text.bytes, text.start, text.end)
}

function equalRanges(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) if (a[i] !== b[j]) return false
  return true
}
