import { Problem } from './problem.ts'

const streamsMax = 256
/** Of one address; behind a proxy all clients have its own. */
const perAddressMax = 32

/** Bounds the streams of one kind that are open. */
export class StreamPlaces {
  #taken = 0
  readonly #byAddress = new Map<string, number>()

  /** Takes a place until the function is called, once. `address`: of a client without a token. Throws `unavailable`. */
  take(address?: string): () => void {
    if (this.#taken >= streamsMax) throw noPlace(`${streamsMax} streams are open`)
    const ofAddress = address === undefined ? 0 : (this.#byAddress.get(address) ?? 0)
    if (ofAddress >= perAddressMax) throw noPlace(`${perAddressMax} streams of this address are open`)
    this.#taken++
    if (address !== undefined) this.#byAddress.set(address, ofAddress + 1)
    return () => {
      this.#taken--
      if (address !== undefined) this.#give(address)
    }
  }

  #give(address: string): void {
    const left = (this.#byAddress.get(address) ?? 0) - 1
    if (left > 0) this.#byAddress.set(address, left)
    else this.#byAddress.delete(address)
  }
}

function noPlace(detail: string): Problem {
  return new Problem('unavailable', detail, { retryAfterSeconds: 30 })
}
