import { encodeUtf8 } from '../../tlog/bytes.ts'
import type { SignedTreeHead } from '../../tlog/sth.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { type CheckedTree, openTree } from './checked-tree.ts'
import { findFork, isFailureToCheck, readNotOlder } from './compare.ts'
import { CouldNotCheck, ServedMismatch, Violation } from './errors.ts'
import type { Finding } from './finding.ts'
import type { LogClient, SignedCheckpoint } from './log-client.ts'
import { sleep } from './retry.ts'
import { findSthFault, isStale, readSth, type SthWatch } from './sth.ts'
import { type SweptEntry, sweepEntries } from './sweep-entries.ts'
import { sweepTiles } from './sweep-tiles.ts'

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
  /** Looks at the log's RFC 6962 tree head too. Without it nothing is known of how old a checkpoint is. */
  readonly sth?: SthWatch
  /** Reads all tiles, each once, and computes the root from those of leaf hashes. */
  readonly tiles?: SweepPosition
  /** Reads all entries with their payloads, each once. Needs an auditor's token. */
  readonly entries?: SweepPosition & {
    /** Takes those that were checked, in order, before the position moves past them: after a crash some come again. */
    readonly take?: (entries: readonly SweptEntry[]) => Promise<void>
  }
}

/** How far a sweep over all leaves has come, kept by the caller as the checkpoint is. */
export type SweepPosition = {
  /** Leaves before it were swept; 0 before the first. */
  readonly load: () => Promise<number>
  /** Called now and then, and when a check has come to its end. What is not kept is swept again. */
  readonly save: (size: number) => Promise<void>
}

const defaultOlderMs = 10_000

/**
 * What came of one check. Only `advanced` and `unchanged` say that the log is in order. `sth` is there where that was
 * asked for.
 */
export type Check =
  | {
      readonly kind: 'advanced'
      readonly from: SignedCheckpoint | undefined
      readonly to: SignedCheckpoint
      readonly sth?: SignedTreeHead
    }
  | { readonly kind: 'unchanged'; readonly at: SignedCheckpoint; readonly sth?: SignedTreeHead }
  /**
   * All that is shown holds, and the state has moved, but it is too old to say how the log is (`SthWatch.maxAgeMs`): it
   * stands still, or somebody keeps what is new from us. No violation: only silence.
   */
  | {
      readonly kind: 'stale'
      readonly from: SignedCheckpoint | undefined
      readonly at: SignedCheckpoint
      readonly sth: SignedTreeHead
      /** Negative where the STH is of a time to come. */
      readonly ageMs: number
    }
  | { readonly kind: 'violated'; readonly finding: Finding }
  /** Nothing is known: no answer, tiles that do not fit, a state that cannot be read. The state stays as it is. */
  | { readonly kind: 'unchecked'; readonly error: Error }

/**
 * Looks at the log once: the newest checkpoint must be signed and extend the known one, by tiles that make its root.
 * The first checkpoint is believed. Rejects with what `load`, `save` or `takeLeaves` throw (where the last two throw a
 * failure to check, that is `unchecked` too) and the reason of `signal`.
 *
 * With `tiles` or `entries`, what is served and is not of the signed tree is a violation, once it came a second time
 * past caches; without them it is `unchecked`.
 */
export async function checkOnce(client: LogClient, options: MonitorOptions, signal?: AbortSignal): Promise<Check> {
  const state = await options.load()
  try {
    const known = state === undefined ? undefined : await openState(client, state)
    const check = await checkNewest(client, known, options, signal)
    const isOfServed = check.kind === 'violated' && 'files' in check.finding
    return isOfServed ? await checkNewest(client.pastCaches(), known, options, signal) : check
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

/** A checkpoint on its way to being believed. */
type Look = {
  readonly client: LogClient
  readonly known: SignedCheckpoint | undefined
  readonly shown: SignedCheckpoint
  readonly sth: SignedTreeHead | undefined
  /** Opened when it is asked for the first time: an unchanged log needs no tiles. */
  readonly openShown: () => Promise<CheckedTree>
}

async function checkNewest(
  client: LogClient,
  known: SignedCheckpoint | undefined,
  options: MonitorOptions,
  signal: AbortSignal | undefined,
): Promise<Check> {
  // Before the checkpoint, which then has as many entries or more.
  const sth = options.sth && (await readSth(client, options.sth, signal))
  const shown = await readNotOlder(client, known, sth?.size ?? 0, options.olderMs ?? defaultOlderMs, signal)
  if (shown instanceof Violation) {
    return { kind: 'violated', finding: { kind: 'BAD_CHECKPOINT', known, violation: shown } }
  }
  let tree: Promise<CheckedTree> | undefined
  const openShown = (): Promise<CheckedTree> => {
    tree ??= openTree(client.reader(signal), shown.checkpoint)
    return tree
  }
  const look: Look = { client, known, shown, sth, openShown }
  const finding = await findFault(look, options, signal)
  return finding === undefined ? settle(look, options, signal) : { kind: 'violated', finding }
}

async function findFault(
  look: Look,
  options: MonitorOptions,
  signal: AbortSignal | undefined,
): Promise<Finding | undefined> {
  const { client, known, shown, sth, openShown } = look
  try {
    const fork = known && (await findFork(client.reader(signal), known, shown, openShown))
    if (fork !== undefined) return fork
    const fault = sth && options.sth && (await findSthFault(sth, options.sth, known, shown, openShown))
    if (fault !== undefined) return fault
    const found = await sweep(look, options, signal)
    if (found !== undefined) return found
    if (isNew(look)) await takeNew(look, options)
    return undefined
  } catch (error) {
    const isSwept = options.tiles !== undefined || options.entries !== undefined
    if (!(error instanceof ServedMismatch) || !isSwept) throw error
    return { kind: error.kind, known, shown, detail: error.message, files: error.files }
  }
}

async function sweep(
  look: Look,
  { tiles, entries }: MonitorOptions,
  signal: AbortSignal | undefined,
): Promise<Finding | undefined> {
  const { client, known, shown, openShown } = look
  if (tiles !== undefined) {
    const from = await startOf(look, tiles)
    if (from < shown.checkpoint.size) await sweepTiles(await openShown(), from, keeper(look, tiles), signal)
  }
  if (entries === undefined) return undefined
  const { take = async () => {} } = entries
  const from = await startOf(look, entries)
  if (from >= shown.checkpoint.size) return undefined
  const found = await sweepEntries(client, await openShown(), from, take, keeper(look, entries), signal)
  return found && { ...found, known, shown }
}

/** No sweep is ahead of what is believed: beyond that the tree may be another one the next time. */
async function startOf({ known }: Look, position: SweepPosition): Promise<number> {
  return Math.min(await position.load(), known?.checkpoint.size ?? 0)
}

function keeper({ known, shown }: Look, position: SweepPosition): (size: number) => Promise<void> {
  return async (size) => {
    if (size <= (known?.checkpoint.size ?? 0) && size < shown.checkpoint.size) await position.save(size)
  }
}

function isNew({ known, shown }: Look): boolean {
  return known === undefined || shown.checkpoint.size > known.checkpoint.size
}

async function takeNew({ known, openShown }: Look, { takeLeaves }: MonitorOptions): Promise<void> {
  const tree = await openShown()
  if (takeLeaves === undefined) return
  for (let at: number = known?.checkpoint.size ?? 0; at < tree.checkpoint.size; ) {
    const leaves = (await tree.readLeaves(Math.floor(at / tileWidth))).slice(at % tileWidth)
    await takeLeaves(leaves, at)
    at += leaves.length
  }
}

/** All that is shown holds. */
async function settle(look: Look, options: MonitorOptions, signal: AbortSignal | undefined): Promise<Check> {
  const { known, shown, sth } = look
  signal?.throwIfAborted()
  if (isNew(look)) await options.save(shown.note)
  await options.tiles?.save(shown.checkpoint.size)
  await options.entries?.save(shown.checkpoint.size)
  const at = known === undefined || isNew(look) ? shown : known
  if (options.sth === undefined || sth === undefined) return heldOf(look, at)
  await options.sth.state?.save(sth)
  const nowMs = (options.sth.nowMs ?? Date.now)()
  if (isStale(sth, options.sth, nowMs)) return { kind: 'stale', from: known, at, sth, ageMs: nowMs - sth.timestampMs }
  return { ...heldOf(look, at), sth }
}

function heldOf(look: Look, at: SignedCheckpoint): Extract<Check, { readonly kind: 'advanced' | 'unchanged' }> {
  return isNew(look) ? { kind: 'advanced', from: look.known, to: at } : { kind: 'unchanged', at }
}
