import { TlogError, type TlogErrorCode } from '../../../tlog/errors.ts'
import { formatKeyId, type VerifierKey } from '../../../tlog/note-key.ts'
import type { Result } from './result.ts'

/**
 * Errors that say nothing about the log of the key: what was given is no receipt or proof, of a format that this
 * program cannot check, or signed by others.
 */
const couldNotCheckCodes: readonly TlogErrorCode[] = [
  'malformed-json',
  'json-not-strict',
  'malformed-receipt',
  'malformed-proof-file',
  'malformed-evidence',
  'unknown-leaf-format',
  'malformed-key',
  'unverified-note',
  'malformed-policy',
  'malformed-bundle',
]

/** Whether a refusal is about what was given, and not about the log. */
export function saysNothing({ code }: TlogError): boolean {
  return couldNotCheckCodes.includes(code)
}

/** What came of a check by the log's key; refusals are results. */
export function judged(key: VerifierKey, check: () => Result): Result {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    const { code, message } = error
    const kind = saysNothing(error) ? 'unknown' : 'violated'
    if (code !== 'unverified-note') return { kind, code, detail: message }
    const want = `${key.name}+${formatKeyId(key.keyId)}`
    return { kind, code, detail: `the receipt is of another log or key: ${message}; the key given is ${want}` }
  }
}
