import { encodeUtf8, equalBytes } from '../../tlog/bytes.ts'
import type { LogReader } from '../../tlog/log-reader.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { type CheckedTree, openTree } from './checked-tree.ts'
import { CouldNotCheck, Refused, Unavailable, Violation } from './errors.ts'
import type { LogClient, SignedCheckpoint } from './log-client.ts'
import { sleep } from './retry.ts'

export type MonitorOptions = {
  /** The state: the note of the last checkpoint that was checked; undefined before the first. */
  readonly load: () => Promise<string | undefined>
  /** Keeps the state, durably when it resolves. Called only with a checkpoint that extends the one before. */
  readonly save: (note: string) => Promise<void>
  /**
   * Takes the leaves from `firstIndex` on (decodeLeaf of `dendrolog/tlog`), in order, before the state moves past them:
   * after a crash some come again. Needs an auditor's token. Without it the consistency alone is checked.
   */
  readonly takeLeaves?: (leaves: readonly Uint8Array[], firstIndex: number) => Promise<void>
  /**
   * For so long a server may show a checkpoint that is older than the known one, where it has the known one's tiles and
   * they contain the older: servers of one log are fractions of a second apart. It is asked again until then. Default
   * 10,000; 0: an older checkpoint is a rollback at once.
   */
  readonly olderMs?: number
}

const defaultOlderMs = 10_000
const askAgainMs = 250

/** What the log did wrong, with what proves it. */
export type Finding =
  /** Two checkpoints, both signed, of which one does not extend the other: two trees under one name. */
  | { readonly kind: 'FORKED'; readonly known: SignedCheckpoint; readonly shown: SignedCheckpoint }
  /**
   * Both signed; the one that is shown now is of a smaller tree than one that was shown before, and no other tree as far
   * as can be told: without the tiles of the known tree, or with them for longer than `olderMs`. A log that was restored,
   * or somebody on the way who shows what is old.
   */
  | { readonly kind: 'ROLLBACK'; readonly known: SignedCheckpoint; readonly shown: SignedCheckpoint }
  /** A checkpoint that is not what the log's key may sign, or whose signature does not hold: `violation.evidence`. */
  | { readonly kind: 'BAD_CHECKPOINT'; readonly known: SignedCheckpoint | undefined; readonly violation: Violation }

/** What came of one check. Only `advanced` and `unchanged` say that the log is in order. */
export type Check =
  | { readonly kind: 'advanced'; readonly from: SignedCheckpoint | undefined; readonly to: SignedCheckpoint }
  | { readonly kind: 'unchanged'; readonly at: SignedCheckpoint }
  | { readonly kind: 'violated'; readonly finding: Finding }
  /** Nothing is known: no answer, tiles that do not fit, a state that cannot be read. The state stays as it is. */
  | { readonly kind: 'unchecked'; readonly error: Error }

/**
 * Looks at the log once: the newest checkpoint must be signed and extend the known one, by tiles that make its root.
 * The first checkpoint is believed. Rejects with what `load`, `save` or `takeLeaves` throw (where the last two throw a
 * failure to check, that is `unchecked` too) and the reason of `signal`.
 */
export async function checkOnce(client: LogClient, options: MonitorOptions, signal?: AbortSignal): Promise<Check> {
  const state = await options.load()
  try {
    const known = state === undefined ? undefined : await openState(client, state)
    return await checkNewest(client, known, options, signal)
  } catch (error) {
    if (isFailureToCheck(error)) return { kind: 'unchecked', error }
    throw error
  }
}

/** Checks every `intervalMs`, one check after the other, until `signal`: then it ends. */
export async function* monitor(
  client: LogClient,
  options: MonitorOptions & { readonly intervalMs: number },
  signal: AbortSignal,
): AsyncGenerator<Check, void> {
  try {
    for (;;) {
      yield await checkOnce(client, options, signal)
      await sleep(options.intervalMs, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function isFailureToCheck(error: unknown): error is CouldNotCheck | Unavailable | Refused {
  return error instanceof CouldNotCheck || error instanceof Unavailable || error instanceof Refused
}

/** What we kept ourselves is checked as well: it may be of another log, or cut. */
async function openState(client: LogClient, state: string): Promise<SignedCheckpoint> {
  try {
    return await client.openCheckpoint(encodeUtf8(state))
  } catch (cause) {
    if (!(cause instanceof Violation) && !(cause instanceof CouldNotCheck)) throw cause
    if (cause instanceof CouldNotCheck && cause.code === 'no-ed25519') throw cause
    throw new CouldNotCheck('unreadable-state', `the state is no checkpoint of this log: ${cause.message}`, { cause })
  }
}

async function checkNewest(
  client: LogClient,
  known: SignedCheckpoint | undefined,
  options: MonitorOptions,
  signal: AbortSignal | undefined,
): Promise<Check> {
  const shown = await readNotOlder(client, known, options.olderMs ?? defaultOlderMs, signal)
  if (shown instanceof Violation) {
    return { kind: 'violated', finding: { kind: 'BAD_CHECKPOINT', known, violation: shown } }
  }
  if (known !== undefined && shown.checkpoint.size <= known.checkpoint.size) {
    return compare(client.reader(signal), known, shown)
  }
  const tree = await openTree(client.reader(signal), shown.checkpoint)
  if (known !== undefined && !(await isExtension(tree, known))) {
    return { kind: 'violated', finding: { kind: 'FORKED', known, shown } }
  }
  if (options.takeLeaves !== undefined) await handOver(tree, known?.checkpoint.size ?? 0, options.takeLeaves)
  signal?.throwIfAborted()
  await options.save(shown.note)
  return { kind: 'advanced', from: known, to: shown }
}

/** What is shown now, or, where that is older than what is known and part of it, what is shown within `olderMs`. */
async function readNotOlder(
  client: LogClient,
  known: SignedCheckpoint | undefined,
  olderMs: number,
  signal: AbortSignal | undefined,
): Promise<SignedCheckpoint | Violation> {
  for (const endMs = performance.now() + olderMs; ; ) {
    const shown = await readShown(client, signal)
    if (known === undefined || shown instanceof Violation) return shown
    if (shown.checkpoint.size >= known.checkpoint.size) return shown
    const restMs = endMs - performance.now()
    if (restMs <= 0 || (await placeOf(client.reader(signal), known, shown)) !== 'part') return shown
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

/** A checkpoint that is not of a bigger tree: of the same size it has the same root. */
async function compare(reader: LogReader, known: SignedCheckpoint, shown: SignedCheckpoint): Promise<Check> {
  const isOlder = shown.checkpoint.size < known.checkpoint.size
  const isOther = isOlder
    ? (await placeOf(reader, known, shown)) === 'other'
    : !equalBytes(known.checkpoint.root, shown.checkpoint.root)
  if (isOther) return { kind: 'violated', finding: { kind: 'FORKED', known, shown } }
  if (isOlder) return { kind: 'violated', finding: { kind: 'ROLLBACK', known, shown } }
  return { kind: 'unchanged', at: known }
}

/**
 * Whether the known tree begins with the one that is shown. A server that went back has the known tree's tiles no more,
 * mostly: then nothing is known.
 */
async function placeOf(
  reader: LogReader,
  known: SignedCheckpoint,
  shown: SignedCheckpoint,
): Promise<'part' | 'other' | 'unknown'> {
  try {
    return (await isExtension(await openTree(reader, known.checkpoint), shown)) ? 'part' : 'other'
  } catch (error) {
    if (isFailureToCheck(error)) return 'unknown'
    throw error
  }
}

/** The tiles are those of the new root, so another old root can only come from another tree. */
async function isExtension(tree: CheckedTree, { checkpoint }: SignedCheckpoint): Promise<boolean> {
  return equalBytes(await tree.rootAt(checkpoint.size), checkpoint.root)
}

async function handOver(
  tree: CheckedTree,
  from: number,
  takeLeaves: NonNullable<MonitorOptions['takeLeaves']>,
): Promise<void> {
  for (let at = from; at < tree.checkpoint.size; ) {
    const leaves = (await tree.readLeaves(Math.floor(at / tileWidth))).slice(at % tileWidth)
    await takeLeaves(leaves, at)
    at += leaves.length
  }
}
