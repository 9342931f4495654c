/** Where a verifier stands. */
export type WatchProgress = {
  /** Entries that were hashed at least once, and those that there are, as far as it knows. */
  readonly verifiedSize: number
  readonly size: number
  /** When the last step that could check all that it should ended; milliseconds since 1970. */
  readonly checkedMs: number | undefined
  /** When the round began after which all was hashed again; null before the first. */
  readonly coveredMs: number | null
  /** Ranges of the round that goes on, and how many of them are done. */
  readonly ranges: number
  readonly rangesDone: number
  readonly findings: number
  /** Rows that were hashed since it was started, each as often as it was. */
  readonly scanned: number
  /** Who could not be asked, and what could not be compared, when that was tried last; undefined where all could. */
  readonly missed: string | undefined
}
