/**
 * What a check can say besides "holds". Codes are stable: callers, problem documents and exit statuses key on them.
 * `malformed-*` is input that is not of its format; the others are statements about well-formed input.
 */
export type TlogErrorCode =
  | 'malformed-number'
  | 'malformed-base64'
  | 'malformed-hex'
  | 'malformed-uuid'
  | 'malformed-timestamp'
  | 'malformed-json'
  | 'malformed-cbor'
  | 'json-not-strict'
  | 'malformed-submission'
  | 'malformed-note'
  | 'malformed-key'
  | 'malformed-checkpoint'
  | 'malformed-sth'
  | 'malformed-proof'
  | 'malformed-proof-file'
  | 'malformed-range'
  | 'malformed-tile'
  | 'malformed-bundle'
  | 'malformed-leaf'
  | 'malformed-receipt'
  | 'malformed-evidence'
  | 'malformed-policy'
  | 'malformed-request'
  | 'unknown-leaf-format'
  | 'unverified-note'
  | 'no-quorum'
  | 'invalid-signature'
  | 'inclusion-mismatch'
  | 'consistency-mismatch'
  | 'leaf-mismatch'
  | 'root-mismatch'
  | 'origin-mismatch'
  | 'chain-mismatch'
  | 'act-mismatch'
  | 'out-of-range'

const pointerLengthMax = 500

/** The one error class of `tlog/`: a refusal or a failed check, never a bug and never the weather. */
export class TlogError extends Error {
  readonly code: TlogErrorCode
  /** JSON pointer (RFC 6901) to the offending member, where the input was JSON. */
  readonly pointer: string | undefined

  constructor(code: TlogErrorCode, message: string, options?: { cause?: unknown; pointer?: string }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TlogError'
    this.code = code
    // A name may be as long as a body; answers and quarantine need not repeat it.
    this.pointer = options?.pointer?.slice(0, pointerLengthMax)
  }
}
