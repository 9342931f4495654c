/** Buffers are kept for reuse up to this many: fresh memory costs a page fault every 4 KiB, and garbage collection. */
const sparesMax = 128
const chunkBytes = 262_144
const spares: Uint8Array[] = []

/** What single events lie in, one behind the other: a buffer for each costs more than all that is done with it. */
const slabBytes = 65_536
let slab: Uint8Array = new Uint8Array(0)
let slabAt = 0

/** What is made of a request may be so many times its bytes, and a buffer more. */
const usualRatio = 6
/** Measured on real events: texts are kept three times, heads and hashes come on top. */
const expectedRatio = 3

/**
 * A growing run of buffers for the submissions of one request; each submission lies in one of them. What is ordinary is
 * reckoned with where the request's own bytes are; `charge` is called, and may throw, before it becomes more than that.
 */
export class Arena {
  readonly #isLarge: boolean
  readonly #charge: (bytes: number) => void
  /** What may still be made without being charged. */
  #free: number
  readonly #chunks: Uint8Array[] = []
  #chunk: Uint8Array = new Uint8Array(0)
  #at = 0

  /** `bodyBytes`: of the request. Small ones share a buffer, which is never reused. */
  constructor(bodyBytes: number, charge: (bytes: number) => void = () => {}) {
    this.#isLarge = expectedRatio * bodyBytes > chunkBytes / 4
    this.#free = usualRatio * bodyBytes + chunkBytes
    this.#charge = charge
  }

  /** A buffer with `bytes` free bytes from `start`. */
  reserve(bytes: number): { readonly chunk: Uint8Array; readonly start: number } {
    if (this.#at + bytes > this.#chunk.length) this.#grow(bytes)
    return { chunk: this.#chunk, start: this.#at }
  }

  /** Everything before `end` in the current buffer is taken. */
  commit(end: number): void {
    this.#at = end
  }

  /** Gives the buffers back for reuse. Nothing that lies in them may be read any more. */
  release(): void {
    for (const chunk of this.#chunks) {
      if (chunk.length === chunkBytes && spares.length < sparesMax) spares.push(chunk)
    }
    this.#chunks.length = 0
    this.#chunk = new Uint8Array(0)
    this.#at = 0
  }

  #grow(bytes: number): void {
    this.#at = 0
    const size = Math.max(bytes, this.#isLarge ? chunkBytes : 0)
    if (size > this.#free) this.#charge(size)
    else this.#free -= size
    if (bytes > chunkBytes) this.#chunk = Buffer.allocUnsafeSlow(bytes)
    else if (this.#isLarge) this.#chunk = spares.pop() ?? Buffer.allocUnsafeSlow(chunkBytes)
    else if (bytes > slabBytes / 4) this.#chunk = Buffer.allocUnsafeSlow(bytes)
    else this.#chunk = takeOfSlab(bytes)
    this.#chunks.push(this.#chunk)
  }
}

function takeOfSlab(bytes: number): Uint8Array {
  if (slabAt + bytes > slab.length) {
    slab = Buffer.allocUnsafeSlow(slabBytes)
    slabAt = 0
  }
  slabAt += bytes
  return slab.subarray(slabAt - bytes, slabAt)
}
