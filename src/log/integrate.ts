import { copyInto } from '../../tlog/cbor.ts'
import { leafTailBytes } from '../../tlog/entry.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { appendLeafHashes, type FullTile, type TreeEdge } from '../../tlog/tree-edge.ts'
import { writeBigintField, writeBytesField, writeFieldCount } from '../store/copy-binary.ts'
import { rowHeadBytes, writeRowHead } from '../store/ledger-row.ts'
import { idRowBytes } from './recent-ids.ts'
import { completeChainText, completeLeaf, eventIdStart, type Submission } from './submission.ts'

/** What a sequencer builds on: the tree's edge and the end of the chain. */
export type LogState = {
  readonly edge: TreeEdge
  readonly root: Hash
  /** Chain hash of the newest entry; 32 zero bytes in an empty log. */
  readonly chainHash: Hash
  /** Microseconds since 1970 of the newest entry; 0 in an empty log. */
  readonly newestTimestamp: number
}

/** One commit, computed: entries `before.edge.size` to `after.edge.size`, all of one timestamp. */
export type Batch = {
  readonly before: LogState
  readonly after: LogState
  readonly timestamp: number
  /** n + 1 chain hashes of 32 bytes: that of the entry before the batch, then each entry's. */
  readonly chainHashes: Uint8Array
  /** n leaf hashes of 32 bytes. */
  readonly leafHashes: Uint8Array
  /** Rows of audit_logs and of entry_ids in COPY binary, without header and trailer. */
  readonly ledgerRows: Uint8Array
  readonly idRows: Uint8Array
  readonly fullTiles: readonly FullTile[]
}

/**
 * Gives each submission its place: chain hash, leaf hash, row; then the tree. Computes only; nothing is written. Rows
 * are made in what `takeBuffer` gives, of so many bytes or more.
 */
export function integrate(
  before: LogState,
  submissions: readonly Submission[],
  timestamp: number,
  sha256: Sha256,
  takeBuffer: (bytes: number) => Uint8Array = Buffer.allocUnsafeSlow,
): Batch {
  const chainHashes = chain(before, submissions, sha256)
  const leafHashes = hashLeaves(before, submissions, timestamp, chainHashes, sha256)
  const { edge, root, fullTiles } = appendLeafHashes(before.edge, leafHashes, sha256)
  const chainHash = chainHashes.slice(-32) as Hash
  return {
    before,
    after: { edge, root, chainHash, newestTimestamp: timestamp },
    timestamp,
    chainHashes,
    leafHashes,
    ledgerRows: ledgerRows(before, submissions, timestamp, chainHashes, leafHashes, takeBuffer),
    idRows: idRows(before, submissions, takeBuffer),
    fullTiles,
  }
}

/** The leaf of `submission` at its place. */
export function leafAt(submission: Submission, sequenceNumber: number, timestamp: number, chainHash: Hash): Uint8Array {
  const start = completeLeaf(submission, sequenceNumber, timestamp, chainHash, 0)
  return submission.bytes.slice(start + 1, submission.leafEnd + leafTailBytes)
}

function chain(before: LogState, submissions: readonly Submission[], sha256: Sha256): Uint8Array {
  const hashes = new Uint8Array((submissions.length + 1) * 32)
  hashes.set(before.chainHash)
  let sequenceNumber: number = before.edge.size
  let at = 0
  for (const submission of submissions) {
    const start = completeChainText(submission, ++sequenceNumber, hashes, at)
    sha256(submission.bytes, start, submission.chainEnd + 64, hashes, at + 32)
    at += 32
  }
  return hashes
}

function hashLeaves(
  before: LogState,
  submissions: readonly Submission[],
  timestamp: number,
  chainHashes: Uint8Array,
  sha256: Sha256,
): Uint8Array {
  const hashes = new Uint8Array(submissions.length * 32)
  let sequenceNumber: number = before.edge.size
  let at = 0
  for (const submission of submissions) {
    const start = completeLeaf(submission, ++sequenceNumber, timestamp, chainHashes, at + 32)
    sha256(submission.bytes, start, submission.leafEnd + leafTailBytes, hashes, at)
    at += 32
  }
  return hashes
}

function ledgerRows(
  before: LogState,
  submissions: readonly Submission[],
  timestamp: number,
  chain: Uint8Array,
  leaves: Uint8Array,
  takeBuffer: (bytes: number) => Uint8Array,
): Uint8Array {
  let size = submissions.length * rowHeadBytes
  for (const submission of submissions) size += submission.rowEnd - submission.rowStart
  const out = takeBuffer(size)
  let at = 0
  let sequenceNumber: number = before.edge.size
  let hash = 0
  for (const { bytes, rowStart, rowEnd } of submissions) {
    at = writeRowHead(out, at, ++sequenceNumber, timestamp, chain, hash, leaves)
    at = copyInto(out, at, bytes, rowStart, rowEnd)
    hash += 32
  }
  return out.subarray(0, at)
}

function idRows(
  before: LogState,
  submissions: readonly Submission[],
  takeBuffer: (bytes: number) => Uint8Array,
): Uint8Array {
  const out = takeBuffer(submissions.length * idRowBytes)
  let at = 0
  let sequenceNumber: number = before.edge.size
  for (const submission of submissions) {
    const id = eventIdStart(submission)
    at = writeFieldCount(out, at, 2)
    at = writeBytesField(out, at, submission.bytes, id, id + 16)
    at = writeBigintField(out, at, ++sequenceNumber)
  }
  return out.subarray(0, at)
}
