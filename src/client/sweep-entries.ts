import { encodeUtf8, equalBytes, formatBase64 } from '../../tlog/bytes.ts'
import { decodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import type { EvidenceLeaf } from '../../tlog/evidence.ts'
import {
  beforeFirstLeaf,
  type LeafFault,
  type Payload,
  type Predecessor,
  predecessorOf,
  readLeafInOrder,
} from '../../tlog/leaf-order.ts'
import { tileWidth } from '../../tlog/tile.ts'
import type { CheckedTree } from './checked-tree.ts'
import { CouldNotCheck, Refused, ServedMismatch, unlessUnfit } from './errors.ts'
import { textOf } from './http.ts'
import type { LogClient } from './log-client.ts'
import { membersOf } from './problem.ts'

/** An entry that is in the signed tree, at its place, with the payload that its leaf covers. */
export type SweptEntry = {
  readonly leafIndex: number
  readonly leaf: Uint8Array
  readonly fields: LeafFields
  readonly payload: Payload
}

/** A leaf of the signed tree that no log may have there. */
export type FoundLeaf = LeafFault & { readonly leafIndex: number; readonly leaves: readonly EvidenceLeaf[] }

/** Of 256 entries at most: payloads of 4 MiB, or one of a MiB, and leaves, all in base64. */
const entriesBytesMax = 16 * 1_048_576

/**
 * Reads the entries from `from` on, with their payloads (RFC 6962 get-entries): each leaf must have the hash of its tile,
 * be a leaf and no other than the next one, and have the payload and chain hash that it says. `take` gets them in order.
 * Rejects with `ServedMismatch` where what is served is not of the tree, or the server says so itself (`entry-damaged`), and
 * with what `take` and `onSwept` throw.
 */
export async function sweepEntries(
  client: LogClient,
  tree: CheckedTree,
  from: number,
  take: (entries: readonly SweptEntry[]) => Promise<void>,
  onSwept: (size: number) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<FoundLeaf | undefined> {
  const { size } = tree.checkpoint
  let previous = await readPredecessor(tree, from)
  let ahead = readBundle(client, tree, from, signal)
  for (let at = from; at < size; ) {
    const { leaves, payloads: first } = await ahead
    // The next ones come while these are checked; what keeps them from coming is told when it is their turn.
    ahead = readBundle(client, tree, at + leaves.length, signal)
    ahead.catch(() => {})
    for (let i = 0; i < leaves.length; ) {
      signal?.throwIfAborted()
      const payloads = i === 0 ? first : await readPayloads(client, at, leaves.slice(i), signal)
      const batch: SweptEntry[] = []
      for (const payload of payloads) {
        const leaf = leaves[i++] as Uint8Array
        const read = unlessUnfit(() => readLeafInOrder(at, leaf, previous, payload))
        if (read.kind === 'other-payload') throw otherPayload(at, payload)
        if (read.kind === 'fault') return foundLeaf(tree, at, read.fault, payload)
        batch.push({ leafIndex: at, leaf, fields: read.fields, payload: read.payload ?? {} })
        previous = predecessorOf(read.fields)
        at++
      }
      await take(batch)
    }
    await onSwept(at)
  }
  return undefined
}

/** Leaves from `at` to the end of their bundle, and payloads of the first of them. */
async function readBundle(
  client: LogClient,
  tree: CheckedTree,
  at: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly leaves: readonly Uint8Array[]; readonly payloads: readonly Uint8Array[] }> {
  if (at >= tree.checkpoint.size) return { leaves: [], payloads: [] }
  const leaves = await unlessDamaged(at, tree.readLeaves(Math.floor(at / tileWidth)))
  const rest = leaves.slice(at % tileWidth)
  return { leaves: rest, payloads: await unlessDamaged(at, readPayloads(client, at, rest, signal)) }
}

/** A server that says that an entry is not what was signed, and so does not serve it, has told of a violation itself. */
async function unlessDamaged<T>(at: number, reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'entry-damaged') throw error
    const bytes = encodeUtf8(error.detail)
    const detail = `by the server's own word: ${error.detail}`
    throw new ServedMismatch('LEAF_MISMATCH', detail, [{ path: `tile/entries/${Math.floor(at / tileWidth)}`, bytes }])
  }
}

/** What the first leaf is held against. */
async function readPredecessor(tree: CheckedTree, from: number): Promise<Predecessor> {
  if (from === 0 || from >= tree.checkpoint.size) return beforeFirstLeaf
  const leaf = await readLeaf(tree, from - 1)
  return predecessorOf(unlessUnfit(() => decodeLeaf(leaf)))
}

async function readLeaf(tree: CheckedTree, index: number): Promise<Uint8Array> {
  return (await tree.readLeaves(Math.floor(index / tileWidth)))[index % tileWidth] as Uint8Array
}

function otherPayload(index: number, bytes: Uint8Array): ServedMismatch {
  const detail = `entry ${index + 1}: its payload is not the one that its leaf covers`
  return new ServedMismatch('PAYLOAD_CORRUPT', detail, [{ path: `ct/v1/get-entries/${index}`, bytes }])
}

/** Payloads of the entries of `leaves`, from index `start` on: of all of them, or of the first ones, at least one. */
async function readPayloads(
  client: LogClient,
  start: number,
  leaves: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<Uint8Array[]> {
  const path = `ct/v1/get-entries?start=${start}&end=${start + leaves.length - 1}`
  const { entries } = membersOf(textOf(await client.getAsReader(path, entriesBytesMax, signal)) ?? '')
  if (!Array.isArray(entries) || entries.length === 0 || entries.length > leaves.length) {
    throw new CouldNotCheck('not-understood', `the answer has not the entries from index ${start} on`)
  }
  return entries.map((entry: unknown, i) => {
    const { leaf_input: leaf, extra_data: payload } = Object(entry) as Readonly<Record<string, unknown>>
    const bytes = bytesOf(leaf)
    if (equalBytes(bytes, leaves[i] as Uint8Array)) return bytesOf(payload)
    throw new ServedMismatch('LEAF_MISMATCH', `get-entries: leaf ${start + i} is not the one of the tree`, [
      { path: `ct/v1/get-entries/${start + i}`, bytes },
    ])
  })
}

/** Base64 that is compared by what it says: `atob` is some twenty times as fast as the strict reader. */
function bytesOf(text: unknown): Uint8Array {
  if (typeof text !== 'string') throw new CouldNotCheck('not-understood', 'the answer has not the members of an entry')
  try {
    const binary = atob(text)
    const bytes = new Uint8Array(binary.length)
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i)
    return bytes
  } catch (cause) {
    throw new CouldNotCheck('malformed-base64', 'the answer has members that are no base64', { cause })
  }
}

async function foundLeaf(
  tree: CheckedTree,
  leafIndex: number,
  fault: LeafFault,
  payload: Uint8Array,
): Promise<FoundLeaf> {
  const isOfPlace = fault.kind === 'GAP_IN_SEQUENCE' || fault.kind === 'CLOCK_BACKWARDS'
  return { ...fault, leafIndex, leaves: await proveLeaves(tree, leafIndex, isOfPlace ? undefined : payload) }
}

/** The leaf with the one before it, each with its audit path: who has the log's key can see it for himself. */
async function proveLeaves(
  tree: CheckedTree,
  index: number,
  payload: Uint8Array | undefined,
): Promise<readonly EvidenceLeaf[]> {
  const text = payload === undefined ? {} : { payload: new TextDecoder().decode(payload) }
  const own = { ...(await proveLeaf(tree, index)), ...text }
  return index === 0 ? [own] : [await proveLeaf(tree, index - 1), own]
}

async function proveLeaf(tree: CheckedTree, leafIndex: number): Promise<EvidenceLeaf> {
  const [leaf, hashes] = [await readLeaf(tree, leafIndex), await tree.proveInclusion(leafIndex)]
  return { leafIndex, leaf: formatBase64(leaf), hashes: hashes.map(formatBase64) }
}
