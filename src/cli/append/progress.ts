/** A line on a terminal that says how far a run is. Writes nothing where standard error is no terminal. */
export class Progress {
  readonly #stream: NodeJS.WriteStream
  readonly #totalBytes: number | undefined
  readonly #startBytes: number
  readonly #startedAt: number
  #shownAt = Number.NEGATIVE_INFINITY

  /** `startBytes`: done by earlier runs; they count for the bar and not for the rate. */
  constructor(stream: NodeJS.WriteStream, totalBytes: number | undefined, startBytes: number) {
    this.#stream = stream
    this.#totalBytes = totalBytes
    this.#startBytes = startBytes
    this.#startedAt = performance.now()
  }

  /** Records are those of this run. */
  update(doneBytes: number, records: number): void {
    const now = performance.now()
    if (!this.#stream.isTTY || now - this.#shownAt < 100) return
    this.#shownAt = now
    this.#stream.write(`\r${this.#format(doneBytes, records, (now - this.#startedAt) / 1_000)}\x1b[K`)
  }

  /** Empties the line for something else. */
  clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K')
    this.#shownAt = Number.NEGATIVE_INFINITY
  }

  #format(doneBytes: number, records: number, seconds: number): string {
    const rate = `${records} entries, ${Math.round(records / Math.max(seconds, 0.001))}/s`
    const total = this.#totalBytes
    if (total === undefined || total === 0) return rate
    const share = Math.min(1, doneBytes / total)
    const bytesPerSecond = (doneBytes - this.#startBytes) / Math.max(seconds, 0.001)
    const eta = bytesPerSecond > 0 ? formatDuration(Math.max(0, total - doneBytes) / bytesPerSecond) : '?'
    return `${formatBar(share)} ${Math.floor(100 * share)}%  ${rate}, eta ${eta}`
  }
}

const barCells = 24

function formatBar(share: number): string {
  const full = Math.round(barCells * share)
  return `[${'#'.repeat(full)}${'.'.repeat(barCells - full)}]`
}

function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}
