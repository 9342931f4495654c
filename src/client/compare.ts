import { equalBytes, formatBase64 } from '../../tlog/bytes.ts'
import type { TreeSize } from '../../tlog/coords.ts'
import type { EvidencePrefix } from '../../tlog/evidence.ts'
import type { LogReader } from '../../tlog/log-reader.ts'
import { buildConsistencyProof } from '../../tlog/proof.ts'
import { type CheckedTree, openTree } from './checked-tree.ts'
import { CouldNotCheck, Refused, Unavailable, Violation } from './errors.ts'
import type { Finding } from './finding.ts'
import type { LogClient, SignedCheckpoint } from './log-client.ts'
import { sleep } from './retry.ts'

const askAgainMs = 250

export function isFailureToCheck(error: unknown): error is CouldNotCheck | Unavailable | Refused {
  return error instanceof CouldNotCheck || error instanceof Unavailable || error instanceof Refused
}

/**
 * What is shown now, or, where that is older than what is known and part of it, or of fewer than `sizeMin` entries, what
 * is shown within `olderMs`.
 */
export async function readNotOlder(
  client: LogClient,
  known: SignedCheckpoint | undefined,
  sizeMin: number,
  olderMs: number,
  signal: AbortSignal | undefined,
): Promise<SignedCheckpoint | Violation> {
  for (const endMs = performance.now() + olderMs; ; ) {
    const shown = await readShown(client, signal)
    if (shown instanceof Violation) return shown
    const isOlder = known !== undefined && shown.checkpoint.size < known.checkpoint.size
    if (!isOlder && shown.checkpoint.size >= sizeMin) return shown
    const restMs = endMs - performance.now()
    if (restMs <= 0 || (isOlder && (await findPlace(client.reader(signal), known, shown)).kind !== 'part')) return shown
    await sleep(Math.min(askAgainMs, restMs), signal)
  }
}

async function readShown(client: LogClient, signal: AbortSignal | undefined): Promise<SignedCheckpoint | Violation> {
  try {
    return await client.readSignedCheckpoint(signal)
  } catch (error) {
    if (error instanceof Violation) return error
    throw error
  }
}

/** What a checkpoint says against the known one. `openShown` opens the tree of what is shown. */
export async function findFork(
  reader: LogReader,
  known: SignedCheckpoint,
  shown: SignedCheckpoint,
  openShown: () => Promise<CheckedTree>,
): Promise<Finding | undefined> {
  if (shown.checkpoint.size === known.checkpoint.size) {
    if (equalBytes(known.checkpoint.root, shown.checkpoint.root)) return undefined
    return { kind: 'FORKED', known, shown, prefix: undefined }
  }
  if (shown.checkpoint.size < known.checkpoint.size) {
    const place = await findPlace(reader, known, shown)
    return place.kind === 'other'
      ? { kind: 'FORKED', known, shown, prefix: place.prefix }
      : { kind: 'ROLLBACK', known, shown }
  }
  const tree = await openShown()
  if (await isExtension(tree, known)) return undefined
  return { kind: 'FORKED', known, shown, prefix: await prefixProof(tree, known.checkpoint.size) }
}

/** That the first `size` leaves of a tree have the root that they have; undefined where its tiles are not to be had. */
export async function prefixProof(tree: CheckedTree, size: TreeSize): Promise<EvidencePrefix | undefined> {
  if (size === 0) return undefined
  try {
    const hashes = await buildConsistencyProof(tree, size, tree.checkpoint.size)
    return { size, root: formatBase64(await tree.rootAt(size)), hashes: hashes.map(formatBase64) }
  } catch (error) {
    if (isFailureToCheck(error)) return undefined
    throw error
  }
}

type Place =
  | { readonly kind: 'part' | 'unknown' }
  | { readonly kind: 'other'; readonly prefix: EvidencePrefix | undefined }

/**
 * Whether the known tree begins with the one that is shown. A server that went back has the known tree's tiles no more,
 * mostly: then nothing is known.
 */
async function findPlace(reader: LogReader, known: SignedCheckpoint, shown: SignedCheckpoint): Promise<Place> {
  try {
    const tree = await openTree(reader, known.checkpoint)
    if (await isExtension(tree, shown)) return { kind: 'part' }
    return { kind: 'other', prefix: await prefixProof(tree, shown.checkpoint.size) }
  } catch (error) {
    if (isFailureToCheck(error)) return { kind: 'unknown' }
    throw error
  }
}

/** The tiles are those of the new root, so another old root can only come from another tree. */
async function isExtension(tree: CheckedTree, { checkpoint }: SignedCheckpoint): Promise<boolean> {
  return equalBytes(await tree.rootAt(checkpoint.size), checkpoint.root)
}
