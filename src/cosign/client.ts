import { formatAddCheckpoint, sizeMediaType } from '../../tlog/add-checkpoint.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { asTreeSize, parseDecimal, type TreeSize } from '../../tlog/coords.ts'
import { cosignatureTime } from '../../tlog/cosignature.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import { type NoteSignature, type NoteVerifier, parseNote, parseSignatureLines } from '../../tlog/note.ts'
import { requestOutside } from '../ops/outside-request.ts'

/** A checkpoint of ours that is to be cosigned. */
export type CheckpointToCosign = {
  readonly size: TreeSize
  readonly note: Uint8Array
  /** The consistency proof from a size that the witness knows; not asked for size 0, nor for the same. */
  readonly prove: (from: TreeSize) => Promise<readonly Hash[]>
}

/** What a witness made of it. */
export type Asked =
  | { readonly kind: 'cosigned'; readonly signatures: readonly NoteSignature[] }
  /** It has cosigned a larger tree of this log than we have: ours was set back, or somebody else signs. */
  | { readonly kind: 'ahead'; readonly knownSize: number }
  /** It has cosigned another history of this log. The request is what it refused. */
  | { readonly kind: 'conflict'; readonly reason: string; readonly request: Uint8Array }
  /** Nothing is known but that it did not cosign. */
  | { readonly kind: 'failed'; readonly reason: string }

export type WitnessClientOptions = {
  /** Its submission prefix. */
  readonly url: URL
  /** Of its keys. */
  readonly verifiers: readonly NoteVerifier[]
  readonly nowMs: () => number
  readonly timeoutMs: number
  /** So far a cosignature's time may be from ours. */
  readonly skewMaxMs: number
}

/** A few cosignatures, of several keys. */
const answerBytesMax = 65_536
/** Somebody else may ask for the same log meanwhile. */
const triesMax = 3

/** Asks a witness for cosignatures (C2SP tlog-witness), and remembers up to where it knows the log. One call at a time. */
export class WitnessClient {
  readonly #options: WitnessClientOptions
  readonly #target: URL
  #knownSize: TreeSize

  /** `knownSize`: what it knew when it was asked last, as far as that is known. */
  constructor(options: WitnessClientOptions, knownSize: TreeSize = asTreeSize(0)) {
    this.#options = options
    this.#target = new URL(options.url)
    this.#target.pathname = `${options.url.pathname.replace(/\/$/, '')}/add-checkpoint`
    this.#knownSize = knownSize
  }

  get knownSize(): TreeSize {
    return this.#knownSize
  }

  /** Never rejects, but where no proof can be made. */
  async ask(checkpoint: CheckpointToCosign, signal: AbortSignal): Promise<Asked> {
    for (let attempt = 1; ; attempt++) {
      const old = this.#knownSize
      if (old > checkpoint.size) return { kind: 'ahead', knownSize: old }
      const answer = await this.#askFrom(old, checkpoint, signal)
      if (typeof answer !== 'number') return answer
      this.#knownSize = asTreeSize(answer)
      if (attempt >= triesMax) return { kind: 'failed', reason: `it knows other sizes each time, ${answer} now` }
    }
  }

  /** A number: the size that it has instead of `old`. */
  async #askFrom(old: TreeSize, checkpoint: CheckpointToCosign, signal: AbortSignal): Promise<Asked | number> {
    const { timeoutMs } = this.#options
    const { size, note, prove } = checkpoint
    const proof = old === 0 || old === size ? [] : await prove(old)
    const body = formatAddCheckpoint({ old, proof, note })
    try {
      const headers = { 'content-type': 'text/plain; charset=utf-8' }
      const request = { method: 'POST' as const, headers, body, bytesMax: answerBytesMax }
      const { status, headers: answered, text } = await requestOutside(this.#target, request, timeoutMs, signal)
      if (status === 200) return this.#take(checkpoint, text)
      if (status === 409 && mediaTypeOf(answered) === sizeMediaType) return readSize(text)
      const reason = `status ${status}: ${text.slice(0, 200).trim()}`
      // As v1.0.0 has it, 409 without a size is another root.
      return status === 409 || status === 422 ? { kind: 'conflict', reason, request: body } : { kind: 'failed', reason }
    } catch (error) {
      return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Of what is answered those lines count that hold under keys that are known, at a time that may be. */
  #take({ size, note }: CheckpointToCosign, text: string): Asked {
    const message = encodeUtf8(parseNote(note).text)
    const signatures = parseSignatureLines(text).filter((signature) => {
      const verifier = this.#options.verifiers.find(
        ({ name, keyId }) => name === signature.name && keyId === signature.keyId,
      )
      return verifier?.verify(message, signature.signature) === true
    })
    if (signatures.length === 0)
      return { kind: 'failed', reason: 'no cosignature that it answered holds under its keys' }
    const timely = signatures.filter((signature) => this.#isTimely(cosignatureTime(signature)))
    if (timely.length === 0) {
      return {
        kind: 'failed',
        reason: `it cosigned at ${cosignatureTime(signatures[0] as NoteSignature)}, far from now`,
      }
    }
    this.#knownSize = size
    return { kind: 'cosigned', signatures: timely }
  }

  #isTimely(timeS: number | undefined): boolean {
    const { nowMs, skewMaxMs } = this.#options
    return timeS !== undefined && Math.abs(timeS * 1_000 - nowMs()) <= skewMaxMs
  }
}

function mediaTypeOf(headers: Headers): string {
  return headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? ''
}

/** Throws of anything that is no size. */
function readSize(text: string): number {
  try {
    return asTreeSize(parseDecimal(text.trim(), 'size'))
  } catch (error) {
    if (error instanceof TlogError) throw new Error(`it answered no size: ${error.message}`, { cause: error })
    throw error
  }
}
