import { formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type LeafIndex, type TreeNode, type TreeSize } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields, readLeaf } from '../../tlog/entry.ts'
import type { Hash, Sha256 } from '../../tlog/hash.ts'
import { foldPlan, planInclusionProof, tilesOfPlan } from '../../tlog/proof.ts'
import { rootInPyramid, slotsOfNode, type TilePyramid } from '../../tlog/tile-nodes.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { StoredEntry } from '../store/entries.ts'
import { leafAt } from './integrate.ts'
import type { Placement } from './pool.ts'
import type { Submission } from './submission.ts'
import type { TileCache } from './tile-cache.ts'

/** An entry with its leaf; `payloadText` is JSON. */
export type EntryWithLeaf = {
  readonly fields: LeafFields
  readonly leaf: Uint8Array
  readonly leafHash: Hash
  readonly previousHash: string
  readonly payloadText: string
}

/** Accepted submission `j` of a placement as an entry. */
export function placedEntry(submission: Submission, placement: Placement, j: number): EntryWithLeaf {
  const { chainHashes, leafHashes, firstSequenceNumber, timestamp } = placement
  const currentHash = chainHashes.subarray(32 * (j + 1), 32 * (j + 2)) as Hash
  const leaf = leafAt(submission, firstSequenceNumber + j, timestamp, currentHash)
  const { bytes, jcsStart, jcsEnd } = submission
  return {
    fields: readLeaf(leaf),
    leaf,
    leafHash: leafHashes.subarray(32 * j, 32 * (j + 1)) as Hash,
    previousHash: formatHex(chainHashes.subarray(32 * j, 32 * (j + 1))),
    payloadText: Buffer.from(bytes.buffer, bytes.byteOffset + jcsStart, jcsEnd - jcsStart).toString('utf8'),
  }
}

/** An entry read back from the ledger, with the leaf that its columns make. */
export function storedEntry(entry: StoredEntry): EntryWithLeaf {
  const { fields, leafHash, previousHash, payloadText } = entry
  return { fields, leaf: encodeLeaf(fields), leafHash, previousHash, payloadText }
}

/**
 * JSON of an entry; the same members everywhere, those of `entryMembers` and three more. Written piece by piece: an
 * object to stringify took 7 kB of garbage for each entry.
 */
export function entryJson({ fields, previousHash, leafHash, payloadText }: EntryWithLeaf): string {
  const { occurredAt, lamport, sourcePosition } = fields
  return (
    `{"sequenceNumber":${fields.sequenceNumber},"id":"${formatUuid(fields.eventId)}"` +
    `,"timestamp":"${formatMicroseconds(fields.timestamp)}"` +
    `,"occurredAt":${occurredAt === null ? 'null' : `"${formatMicroseconds(occurredAt)}"`},"lamport":${lamport}` +
    `,"actorId":${JSON.stringify(fields.actorId)},"action":${JSON.stringify(fields.action)}` +
    `,"resource":${JSON.stringify(fields.resource)},"clientIp":"${fields.clientIp}"` +
    `,"writer":${JSON.stringify(fields.writer)},"sourcePosition":${JSON.stringify(sourcePosition)}` +
    `,"payloadHash":"${formatHex(fields.payloadHash)}","previousHash":"${previousHash}"` +
    `,"currentHash":"${formatHex(fields.currentHash)}","leafHash":"${formatHex(leafHash)}","payload":${payloadText}}`
  )
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
  const proof = await readPath(tiles, index, size, hash)
  checkInclusion(index, size, leaf, proof, checkpoint.root, hash)
  return proof
}

/** The audit path, from tiles whose inner nodes are computed once for all proofs. */
async function readPath(tiles: TileCache, index: LeafIndex, size: TreeSize, hash: Sha256): Promise<readonly Hash[]> {
  const plan = planInclusionProof(index, size)
  const coords = tilesOfPlan(plan, size)
  const pyramids = await Promise.all(coords.map(({ level, index, width }) => tiles.readPyramid(level, index, width)))
  const nodeOf = (node: TreeNode): Hash => {
    const slots = slotsOfNode(node)
    const place = coords.findIndex(({ level, index }) => level === slots.level && index === slots.index)
    return rootInPyramid(pyramids[place] as TilePyramid, slots.from, slots.to)
  }
  return foldPlan(nodeOf, plan, hash)
}
