import { encodeUtf8, formatBase64, parseBase64 } from '../../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type TreeSize } from '../../../tlog/coords.ts'
import { asHash, type Hash, hashBytes } from '../../../tlog/hash.ts'
import { buildConsistencyProof, buildInclusionProof } from '../../../tlog/proof.ts'
import type { ProofFile } from '../../../tlog/proof-file.ts'
import {
  type ConsistencyJson,
  checkProofJson,
  type ExtensionJson,
  type InclusionJson,
  type ProvedLeaf,
} from '../../../tlog/proof-json.ts'
import { parseReceipt } from '../../../tlog/receipt.ts'
import { tileWidth } from '../../../tlog/tile.ts'
import { type CheckedTree, openTree } from '../../client/checked-tree.ts'
import { CouldNotCheck, judge, Refused, unlessUnfit, Violation } from '../../client/errors.ts'
import type { LogClient } from '../../client/log-client.ts'
import { readEntry } from '../../client/read-entry.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'

// Asks a server for what proves something. Whoever gets it from here checks it as if it had come from anybody.

/** What names an entry: its leaf index, or its id. */
export type EntryPlace =
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'id'; readonly id: string }

/** A proof of 53 hashes and a checkpoint with its signatures. */
const proofBytesMax = 1_100_000

/** Of the newest checkpoint, checked. That the leaf has the id that was asked for is the server's word. */
export async function askForProof(client: LogClient, place: EntryPlace, signal: AbortSignal): Promise<InclusionJson> {
  const path = `v1/entries/${encodeURIComponent(nameOf(place))}/proof`
  const { bytes } = await client
    .get(path, proofBytesMax, signal)
    .catch((error) => tellSize(client, place, error, signal))
  const value = unlessUnfit(() => parseReceipt(bytes))
  const { leafIndex } = await checkAnswer(client, value)
  if (place.kind === 'index' && leafIndex !== place.index) {
    throw new Violation('other-event', `asked for leaf ${place.index}, the answer is about leaf ${leafIndex}`, value)
  }
  const { leafHash, inclusionProof, checkpoint } = value as InclusionJson
  const { treeSize, hashes } = inclusionProof
  // Nothing else of the answer: nobody checked it.
  return { leafIndex, leafHash, inclusionProof: { leafIndex, treeSize, hashes }, checkpoint }
}

async function checkAnswer(client: LogClient, value: unknown): Promise<ProvedLeaf> {
  try {
    const { checkpoint, extension } = Object(value) as { readonly checkpoint?: unknown; readonly extension?: unknown }
    const verifier = await client.verifierOf(encodeUtf8(String(checkpoint)))
    const proved = checkProofJson(value, verifier, nativeSha256)
    if (proved.kind === 'leaf' && extension === undefined) return proved
  } catch (error) {
    throw judge(error, value)
  }
  throw new CouldNotCheck('not-understood', 'the answer is no proof of a leaf under the newest checkpoint')
}

/** The server speaks of sequence numbers, and whoever asked of an index. */
async function tellSize(client: LogClient, place: EntryPlace, error: unknown, signal: AbortSignal): Promise<never> {
  if (!(error instanceof Refused) || error.code !== 'not-found' || place.kind === 'id') throw error
  const { size } = (await client.readSignedCheckpoint(signal)).checkpoint
  if (place.index < size) throw error
  const detail = `index ${place.index}: the log has ${size} ${size === 1 ? 'entry' : 'entries'}, from index 0 on`
  throw new Refused(error.status, error.code, detail, error)
}

/** A receipt of the newest checkpoint, for auditors. */
export async function askForReceipt(client: LogClient, place: EntryPlace, signal: AbortSignal): Promise<string> {
  const read = readEntry(client, nameOf(place), signal)
  return (await read.catch((error) => tellSize(client, place, error, signal))).receipt
}

/** The proof of a leaf in the tree of `size` leaves, built from tiles that were checked. */
export async function proveAtSize(
  client: LogClient,
  index: number,
  size: number,
  signal: AbortSignal,
): Promise<InclusionJson> {
  if (index >= size) throw new CouldNotCheck('out-of-range', `leaf ${index} is not in a tree of ${size}`)
  const { tree, note } = await openTreeOf(client, size, signal)
  const hashes = await buildInclusionProof(tree, asLeafIndex(index), asTreeSize(size))
  const leaves = await tree.readTile(0, Math.floor(index / tileWidth), (index % tileWidth) + 1)
  return {
    leafIndex: index,
    leafHash: formatBase64(leaves.subarray(-hashBytes)),
    inclusionProof: { leafIndex: index, treeSize: size, hashes: hashes.map(formatBase64) },
    ...(await extensionOf(tree, asTreeSize(size))),
    checkpoint: note,
  }
}

/** The proof that the tree of `to` leaves begins with that of `from`; 0 < `from` <= `to`. */
export async function proveConsistency(
  client: LogClient,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<ConsistencyJson> {
  const { tree, note } = await openTreeOf(client, to, signal)
  const [first, last] = [asTreeSize(from), asTreeSize(to)]
  const hashes = await buildConsistencyProof(tree, first, last)
  return {
    ...{ from, fromRoot: formatBase64(await tree.rootAt(first)) },
    ...{ to, toRoot: formatBase64(await tree.rootAt(last)) },
    hashes: hashes.map(formatBase64),
    ...(await extensionOf(tree, last)),
    checkpoint: note,
  }
}

/** A COSE receipt of the newest checkpoint, and of which leaf it is. Nothing of it is checked but the leaf. */
export async function askForCoseReceipt(
  client: LogClient,
  place: EntryPlace,
  signal: AbortSignal,
): Promise<{ readonly receipt: Uint8Array; readonly leaf: Hash }> {
  const { leafIndex, leafHash } = await askForProof(client, place, signal)
  const path = `v1/entries/${leafIndex + 1}/proof`
  const { bytes } = await client.get(path, proofBytesMax, signal, coseType)
  return { receipt: bytes, leaf: asHash(parseBase64(leafHash)) }
}

/** A COSE receipt that the tree of `to` leaves, a checkpoint's, begins with that of `from`, whose root was proved. */
export async function askForCoseConsistency(
  client: LogClient,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<{ readonly receipt: Uint8Array; readonly fromRoot: Hash }> {
  const { fromRoot } = await proveConsistency(client, from, to, signal)
  const { bytes } = await client.get(`v1/proofs/consistency?from=${from}&to=${to}`, proofBytesMax, signal, coseType)
  return { receipt: bytes, fromRoot: asHash(parseBase64(fromRoot)) }
}

const coseType = 'application/cose'

/** The evidence bundle of an entry, for auditors; nothing of it is checked. */
export async function askForEvidence(client: LogClient, index: number, signal: AbortSignal): Promise<Uint8Array> {
  return (await client.getAsReader(`v1/entries/${index + 1}/evidence`, evidenceBytesMax, signal)).bytes
}

/** An entry with the largest payload, and stamps with their chains. */
const evidenceBytesMax = 16 * 1_048_576

/** The same as a C2SP tlog-proof, which has room for no tree but the checkpoint's. */
export function proofFileOf({ leafIndex, leafHash, inclusionProof, checkpoint }: InclusionJson): ProofFile {
  const hashes = inclusionProof.hashes.map((text) => asHash(parseBase64(text)))
  return { index: leafIndex, hashes, extra: parseBase64(leafHash), checkpoint }
}

async function openTreeOf(
  client: LogClient,
  size: number,
  signal: AbortSignal,
): Promise<{ readonly tree: CheckedTree; readonly note: string }> {
  const { checkpoint, note } = await client.readSignedCheckpoint(signal)
  if (size > checkpoint.size) {
    throw new CouldNotCheck('behind', `tree of ${size}: the newest checkpoint has ${checkpoint.size}`)
  }
  return { tree: await openTree(client.reader(signal), checkpoint), note }
}

async function extensionOf(tree: CheckedTree, size: TreeSize): Promise<{ readonly extension?: ExtensionJson }> {
  if (size === tree.checkpoint.size) return {}
  const hashes = await buildConsistencyProof(tree, size, tree.checkpoint.size)
  const fromRoot = formatBase64(await tree.rootAt(size))
  return { extension: { from: size, fromRoot, hashes: hashes.map(formatBase64) } }
}

function nameOf(place: EntryPlace): string {
  return place.kind === 'id' ? place.id : String(place.index + 1)
}
