import { encodeUtf8, formatBase64 } from '../../tlog/bytes.ts'
import { digest, type Sha256 } from '../../tlog/hash.ts'

/** Of a hash: no two texts were ever found that agree in them. */
const keyBytes = 12
const keptMax = 8_192

/**
 * Keys of groups, 16 characters of a hash, so that what rules remember is small and says nothing. The same few groups come
 * again and again: their keys are kept, for a tenth of the time.
 */
export class GroupKeys {
  readonly #hash: Sha256
  readonly #kept = new Map<string, string>()

  constructor(hash: Sha256) {
    this.#hash = hash
  }

  /** Of these texts in this order; none has U+0000. */
  keyOf(texts: readonly string[]): string {
    const text = texts.join('\0')
    const kept = this.#kept.get(text)
    if (kept !== undefined) return kept
    const key = formatBase64(digest(encodeUtf8(text), this.#hash).subarray(0, keyBytes))
    if (this.#kept.size >= keptMax) this.#kept.clear()
    this.#kept.set(text, key)
    return key
  }
}
