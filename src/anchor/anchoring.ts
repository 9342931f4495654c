import { setTimeout as sleep } from 'node:timers/promises'

/** A checkpoint that may be stamped; `note` is as the log signed it, without cosignatures. */
export type StampedCheckpoint = { readonly number: number; readonly treeSize: number; readonly note: string }

/** What an anchor says of times, in microseconds since 1970. */
export type SaidTimes = {
  readonly time: number
  readonly accuracy: number
  /** When the first of its certificates ends. */
  readonly validUntil: number
}

/** Evidence from outside that was checked, as it is stored. */
export type MadeAnchor = {
  readonly evidence: Uint8Array
  /** Undefined where it says no time, as another log. */
  readonly said: SaidTimes | undefined
}

export type Anchored<Checkpoint extends StampedCheckpoint> = MadeAnchor & {
  /** Who made it: a time-stamp authority, or another log. */
  readonly authority: string
  readonly checkpoint: Checkpoint
  /** How far the authority's clock is ahead of ours, in milliseconds; 0 within what asking and its accuracy leave open. */
  readonly skewMs: number
}

export type AnchoringOptions<Checkpoint extends StampedCheckpoint> = {
  readonly authority: string
  /** The newest checkpoint that may be shown; undefined where this is not for this server to do now. */
  readonly newest: () => Checkpoint | undefined
  /** Entries under the newest checkpoint that has an anchor of this authority; 0 where none has. */
  readonly readAnchoredSize: () => Promise<number>
  /** Resolves with an anchor that was checked. */
  readonly make: (checkpoint: Checkpoint, signal: AbortSignal) => Promise<MadeAnchor>
  /** Makes it durable. */
  readonly store: (anchored: Anchored<Checkpoint>) => Promise<void>
  /** Told of each that is durable; must not throw. */
  readonly onAnchored: (anchored: Anchored<Checkpoint>) => void
  /** Told of each attempt that failed; must not throw. */
  readonly onFailed: (authority: string, error: unknown) => void
  readonly pace: AnchoringPace
}

export type AnchoringPace = {
  /** So many new entries are stamped at once. */
  readonly entries: number
  /** After this time any new entry is. */
  readonly everyMs: number
  /** From one request to the next at least. */
  readonly restMs: number
  /** After failures, twice as long each time up to this. */
  readonly restMaxMs: number
  readonly lookMs: number
}

export const defaultPace: AnchoringPace = {
  entries: 1_000,
  everyMs: 60_000,
  restMs: 10_000,
  restMaxMs: 600_000,
  lookMs: 500,
}

/** Has checkpoints anchored by one authority or log, one request at a time, until `signal` aborts. Never rejects. */
export async function runAnchoring<Checkpoint extends StampedCheckpoint>(
  options: AnchoringOptions<Checkpoint>,
  signal: AbortSignal,
): Promise<void> {
  const { authority, pace, onFailed } = options
  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
  let anchoredSize: number | undefined
  let failures = 0
  for (let stampedAt = Number.NEGATIVE_INFINITY; !signal.aborted; ) {
    try {
      anchoredSize ??= await options.readAnchoredSize()
      const checkpoint = options.newest()
      if (checkpoint === undefined || !isDue(checkpoint.treeSize - anchoredSize, performance.now() - stampedAt, pace)) {
        await pause(pace.lookMs)
        continue
      }
      const anchored = await anchor(options, checkpoint, signal)
      anchoredSize = checkpoint.treeSize
      stampedAt = performance.now()
      failures = 0
      options.onAnchored(anchored)
      await pause(pace.restMs)
    } catch (error) {
      if (signal.aborted) return
      // Another server may have gone on meanwhile.
      anchoredSize = undefined
      onFailed(authority, error)
      await pause(Math.min(pace.restMaxMs, pace.restMs * 2 ** failures++))
    }
  }
}

function isDue(newEntries: number, sinceMs: number, { entries, everyMs }: AnchoringPace): boolean {
  return newEntries >= entries || (newEntries > 0 && sinceMs >= everyMs)
}

async function anchor<Checkpoint extends StampedCheckpoint>(
  { authority, make, store }: AnchoringOptions<Checkpoint>,
  checkpoint: Checkpoint,
  signal: AbortSignal,
): Promise<Anchored<Checkpoint>> {
  const askedAt = Date.now() * 1_000
  const made = await make(checkpoint, signal)
  const skewMs = made.said === undefined ? 0 : skewOf(made.said, askedAt, Date.now() * 1_000) / 1_000
  const anchored = { authority, checkpoint, ...made, skewMs }
  await store(anchored)
  return anchored
}

/** Microseconds that the stamp is outside of what may be, when it was asked for at `from` and there at `to`. */
function skewOf({ time, accuracy }: SaidTimes, from: number, to: number): number {
  // Authorities that tell seconds cut off what is behind them.
  const coarseness = time % 1_000_000 === 0 ? 1_000_000 : 1_000
  if (time - accuracy > to) return time - accuracy - to
  const latest = time + accuracy + coarseness
  return latest < from ? latest - from : 0
}
