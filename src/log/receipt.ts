import { encodeUtf8, parseHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { planInclusionProof } from '../../tlog/proof.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { StoredEntry } from '../store/entries.ts'
import { leafAt } from './integrate.ts'
import { readRoots } from './node-reads.ts'
import type { Placement } from './pool.ts'
import type { Submission, Utf8 } from './submission.ts'
import type { TileCache } from './tile-cache.ts'

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

/** The proof of one leaf under a checkpoint; checked against its root before it is handed out. */
export async function proveInclusion(
  tiles: TileCache,
  leafIndex: number,
  leaf: Hash,
  checkpoint: StoredCheckpoint,
  hash: Sha256,
): Promise<readonly Hash[]> {
  const index = asLeafIndex(leafIndex)
  const size = asTreeSize(checkpoint.treeSize)
  const proof = await readRoots(tiles, planInclusionProof(index, size), size, hash)
  checkInclusion(index, size, leaf, proof, checkpoint.root, hash)
  return proof
}
