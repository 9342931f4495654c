import { equalBytes } from '../../tlog/bytes.ts'
import { areBackwards, type EvidencePrefix } from '../../tlog/evidence.ts'
import { parseReceipt } from '../../tlog/receipt.ts'
import { encodeTreeHead, parseSth, type SignedTreeHead } from '../../tlog/sth.ts'
import type { CheckedTree } from './checked-tree.ts'
import { prefixProof } from './compare.ts'
import { CouldNotCheck, unlessUnfit } from './errors.ts'
import type { Finding } from './finding.ts'
import type { LogClient, SignedCheckpoint } from './log-client.ts'
import { holdsP256 } from './signature.ts'

/** What a monitor does with the log's RFC 6962 signed tree head. */
export type SthWatch = {
  /** The log's P-256 key, DER SubjectPublicKeyInfo. Without it the STH, and so its time, is the server's word. */
  readonly publicKey?: Uint8Array
  /**
   * An STH that is older, or so far ahead of this clock, vouches for nothing: the check is `stale`. Our logs sign an idle
   * tree once a minute. Without it the time is not looked at.
   */
  readonly maxAgeMs?: number
  /** Milliseconds since 1970; default: the platform's clock. */
  readonly nowMs?: () => number
  /** The last one that was seen, kept as the checkpoint is: with the key, what contradicts it is a violation. */
  readonly state?: {
    readonly load: () => Promise<SignedTreeHead | undefined>
    readonly save: (sth: SignedTreeHead) => Promise<void>
  }
}

const sthBytesMax = 65_536

/** The log's newest STH; `CouldNotCheck` where its signature does not hold: it may be of another key. */
export async function readSth(
  client: LogClient,
  { publicKey }: SthWatch,
  signal: AbortSignal | undefined,
): Promise<SignedTreeHead> {
  const { bytes } = await client.get('ct/v1/get-sth', sthBytesMax, signal)
  const sth = unlessUnfit(() => parseSth(parseReceipt(bytes)))
  if (publicKey === undefined || (await holdsP256(publicKey, encodeTreeHead(sth), sth.signature))) return sth
  throw new CouldNotCheck('invalid-signature', `the STH of size ${sth.size} is not signed with the key of STHs given`)
}

/**
 * What an STH, which was read before the checkpoint, says against it. Without a key a contradiction proves nothing:
 * `sth-mismatch`; `behind` where the checkpoint is of a smaller tree.
 */
export async function findSthFault(
  sth: SignedTreeHead,
  watch: SthWatch,
  known: SignedCheckpoint | undefined,
  shown: SignedCheckpoint,
  openTree: () => Promise<CheckedTree>,
): Promise<Finding | undefined> {
  const before = await watch.state?.load()
  const isSigned = watch.publicKey !== undefined
  if (isSigned && before !== undefined && areBackwards(before, sth)) {
    return { kind: 'STH_BACKWARDS', known, before, sth }
  }
  const { size, root } = shown.checkpoint
  if (sth.size > size) throw new CouldNotCheck('behind', `the STH has ${sth.size} entries, the checkpoint ${size}`)
  if (sth.size === size && equalBytes(sth.root, root)) return undefined
  let prefix: EvidencePrefix | undefined
  if (sth.size < size) {
    const tree = await openTree()
    if (equalBytes(sth.root, await tree.rootAt(sth.size))) return undefined
    prefix = await prefixProof(tree, sth.size)
  }
  if (isSigned) return { kind: 'STH_MISMATCH', known, shown, sth, prefix }
  throw new CouldNotCheck(
    'sth-mismatch',
    `the STH of size ${sth.size}, unchecked, is of another tree than the checkpoint`,
  )
}

/** Whether the time of an STH is too far from now to say how the log is. */
export function isStale({ timestampMs }: SignedTreeHead, { maxAgeMs }: SthWatch, nowMs: number): boolean {
  return maxAgeMs !== undefined && Math.abs(nowMs - timestampMs) > maxAgeMs
}
