/** Sizes are rounded up to these, so that one buffer serves many. */
const stepBytes = 262_144

/**
 * Large buffers that are used again. A fresh one costs a page fault every 4 KiB, and V8 a full collection for some
 * 30 MB of them: for a million entries 110 collections, a second of the main thread.
 */
export class SpareBuffers {
  readonly #bytesMax: number
  #spares: Buffer[] = []
  #bytes = 0

  /** Keeps `bytesMax` at most. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** At least `bytes` long; what is in it is of no meaning. */
  take(bytes: number): Buffer {
    const found = this.#spares.findIndex((spare) => spare.length >= bytes)
    if (found < 0) return Buffer.allocUnsafeSlow(Math.ceil(bytes / stepBytes) * stepBytes)
    const [spare] = this.#spares.splice(found, 1) as [Buffer]
    this.#bytes -= spare.length
    return spare
  }

  /** Takes back what nobody reads or writes any more. Those that came first are let go where there are too many. */
  give(buffer: Buffer): void {
    if (buffer.length < stepBytes) return
    this.#spares.push(buffer)
    this.#bytes += buffer.length
    while (this.#bytes > this.#bytesMax) this.#bytes -= this.#spares.shift()?.length ?? 0
  }
}
