import { Unavailable } from './incident.ts'
import type { LogTiming } from './log-options.ts'
import { isOutOfRoom, type PublicProblem } from './problem-kind.ts'

/** What keeps those who wait from their answers although nothing has failed, or nothing more than before. */
export class Delays {
  readonly #timing: LogTiming
  /** Since when entries are durable and not under a checkpoint. */
  #unsignedSince: number | undefined
  /** When a disk was full, where nothing was committed since. */
  #outOfRoomAt: number | undefined

  constructor(timing: LogTiming) {
    this.#timing = timing
  }

  noteIntegrated(size: number, signedSize: number): void {
    if (size > signedSize) this.#unsignedSince ??= performance.now()
  }

  noteSigned(size: number, integratedSize: number): void {
    this.#unsignedSince = size < integratedSize ? performance.now() : undefined
  }

  noteCommitted(): void {
    this.#outOfRoomAt = undefined
  }

  noteFailed(error: unknown): void {
    if (isOutOfRoom(error)) this.#outOfRoomAt = performance.now()
  }

  /** `commitWaitMs`: for so long a commit has been under way. */
  problem(commitWaitMs: number): PublicProblem | undefined {
    const { commitSlowMs, outOfRoomMs } = this.#timing
    if (commitWaitMs > commitSlowMs) {
      return { code: 'DATABASE', detail: `the database has kept a commit waiting for more than ${commitSlowMs} ms` }
    }
    if (this.#outOfRoomAt !== undefined && performance.now() - this.#outOfRoomAt < outOfRoomMs) {
      return { code: 'DATABASE', detail: 'a disk was full when the log last wrote' }
    }
    return this.#isUnsignedTooLong() ? { code: 'UNAVAILABLE', detail: this.#unsigned() } : undefined
  }

  /** A head that is not signed for long stops sequencing (DESIGN section 4): throws `Unavailable`. */
  checkMayWrite(): void {
    if (this.#isUnsignedTooLong()) throw new Unavailable(this.#unsigned())
  }

  #isUnsignedTooLong(): boolean {
    return this.#unsignedSince !== undefined && performance.now() - this.#unsignedSince > this.#timing.unsignedMaxMs
  }

  #unsigned(): string {
    return `the head has not been signed for ${this.#timing.unsignedMaxMs} ms`
  }
}
