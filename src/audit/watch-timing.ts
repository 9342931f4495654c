/** How often a verifier that never ends looks, and how much it rests. */
export type WatchTiming = {
  /** Between looks at a log that has nothing new. */
  readonly idleMs: number
  /** After a step it rests so many times its own time; more while entries come in faster than `busyRate` a second. */
  readonly restFactor: number
  readonly restWhileBusy: number
  readonly busyRate: number
  /** Entries of a step at most. */
  readonly stepEntries: number
  /** How often the newest million is probed for changes, and the schema compared with what migrations make. */
  readonly probeMs: number
  /** Within this time everything is hashed again. */
  readonly coverMs: number
  /** A range is hashed again so often, whichever it is, however few there are; and at most this share of the time. */
  readonly rangeMs: number
  readonly rangeShare: number
  /** Between two times that the state is kept, where nothing was found. */
  readonly saveMs: number
}

export const defaultTiming: WatchTiming = {
  idleMs: 1_000,
  restFactor: 4,
  restWhileBusy: 30,
  busyRate: 2_000,
  stepEntries: 8_192,
  probeMs: 48_000,
  coverMs: 20 * 3_600_000,
  rangeMs: 60_000,
  rangeShare: 0.01,
  saveMs: 5_000,
}

/** How much time there is from one range of a round to the next. Within `coverMs` all are done, whatever that costs. */
export function rangeEveryMs(
  { coverMs, rangeMs, rangeShare }: WatchTiming,
  ranges: number,
  rangeTookMs: number,
): number {
  return Math.min(coverMs / ranges, Math.max(rangeMs, rangeTookMs / rangeShare))
}
