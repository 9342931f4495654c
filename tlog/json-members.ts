import { parseBase64 } from './bytes.ts'
import { TlogError, type TlogErrorCode } from './errors.ts'
import { asHash, type Hash } from './hash.ts'

export type Members = Readonly<Record<string, unknown>>

/** Reads members of JSON that somebody gave us. Each throws TlogError with the member's name and what was wanted. */
export type MemberReader = {
  readonly object: (value: unknown, name: string) => Members
  readonly list: (value: unknown, name: string, countMax: number) => readonly unknown[]
  readonly string: (value: unknown, name: string, lengthMax: number) => string
  /** 0 to 2^53-1. */
  readonly integer: (value: unknown, name: string) => number
  /** Base64. */
  readonly hashOf: (value: unknown, name: string) => Hash
  /** As many as a proof can have. */
  readonly hashesOf: (value: unknown, name: string) => Hash[]
  readonly malformed: (reason: string) => TlogError
}

/** No tree of up to 2^53 leaves has longer proofs. */
const hashesMax = 108
const hashCharacters = 44

/** `what`: is named first in messages. */
export function memberReader(what: string, code: TlogErrorCode): MemberReader {
  const malformed = (reason: string): TlogError => new TlogError(code, `${what}: ${reason}`)
  const list: MemberReader['list'] = (value, name, countMax) => {
    if (Array.isArray(value) && value.length <= countMax) return value
    throw malformed(`${name}: want a list of up to ${countMax}`)
  }
  const string: MemberReader['string'] = (value, name, lengthMax) => {
    if (typeof value === 'string' && value.length <= lengthMax) return value
    throw malformed(`${name}: want a string of up to ${lengthMax} characters`)
  }
  const hashOf: MemberReader['hashOf'] = (value, name) => asHash(parseBase64(string(value, name, hashCharacters)), name)
  return {
    ...{ list, string, hashOf, malformed },
    object: (value, name) => {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members
      throw malformed(`${name}: want an object`)
    },
    integer: (value, name) => {
      if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
      throw malformed(`${name}: want an integer`)
    },
    hashesOf: (value, name) => list(value, name, hashesMax).map((hash) => hashOf(hash, name)),
  }
}
