import { formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type LeafIndex, type TreeNode, type TreeSize } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields, readLeaf } from '../../tlog/entry.ts'
import { type Hash, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { foldPlan, planInclusionProof, tilesOfPlan } from '../../tlog/proof.ts'
import { entryMembers } from '../../tlog/receipt.ts'
import { rootInPyramid, slotsOfNode, type TilePyramid } from '../../tlog/tile-nodes.ts'
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

/** JSON of an entry; the same members everywhere. */
export function entryJson(entry: EntryWithLeaf): string {
  const members = JSON.stringify({
    ...entryMembers(entry.fields),
    previousHash: entry.previousHash,
    leafHash: formatHex(entry.leafHash),
  })
  return `${members.slice(0, -1)},"payload":${entry.payloadText}}`
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

/** The receipt of an entry: all that a client needs to check it offline. JSON text. */
export async function receiptJson(
  tiles: TileCache,
  entry: EntryWithLeaf,
  checkpoint: StoredCheckpoint,
  hash: Sha256,
): Promise<string> {
  const leafIndex = entry.fields.sequenceNumber - 1
  const proof = await proveInclusion(tiles, leafIndex, leafHash(entry.leaf, hash), checkpoint, hash)
  const rest = JSON.stringify({
    leaf: base64(entry.leaf),
    inclusionProof: { leafIndex, treeSize: checkpoint.treeSize, hashes: proof.map(base64) },
    checkpoint: checkpoint.note,
  })
  return `{"entry":${entryJson(entry)},${rest.slice(1)}`
}

/** By Node's own encoder: `formatBase64` of tlog takes ten times as long. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}
