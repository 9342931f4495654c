import { TlogError } from '../../tlog/errors.ts'
import { parseStrict } from '../../tlog/json-scan.ts'

/** Rules, or a state of them, that cannot be used. */
export class RulesError extends Error {
  /** JSON pointer to what is wrong; undefined where it is no JSON. */
  readonly pointer: string | undefined

  constructor(pointer: string | undefined, reason: string, options?: { readonly cause?: unknown }) {
    super(pointer === undefined ? reason : `at ${JSON.stringify(pointer)}: ${reason}`, options)
    this.name = 'RulesError'
    this.pointer = pointer
  }
}

const shownCharactersMax = 80

/** A JSON value and its place, read strictly: what is not asked for is an error. */
export class JsonReader {
  readonly value: unknown
  readonly pointer: string

  constructor(value: unknown, pointer: string) {
    this.value = value
    this.pointer = pointer
  }

  /** Throws RulesError, as all of the members do. */
  static parse(bytes: Uint8Array, bytesMax: number): JsonReader {
    if (bytes.length > bytesMax) throw new RulesError(undefined, `has ${bytes.length} bytes, want ${bytesMax} at most`)
    try {
      return new JsonReader(parseStrict(bytes), '')
    } catch (cause) {
      if (!(cause instanceof TlogError)) throw cause
      throw new RulesError(cause.pointer, cause.message, { cause })
    }
  }

  refuse(want: string): never {
    const got = JSON.stringify(this.value) ?? 'nothing'
    const shown = got.length > shownCharactersMax ? `${got.slice(0, shownCharactersMax)}…` : got
    throw new RulesError(this.pointer, `want ${want}, got ${shown}`)
  }

  /** The members by name; none but `names`, where those are given. */
  members(names?: readonly string[]): ReadonlyMap<string, JsonReader> {
    const { value } = this
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.refuse('an object')
    const members = Object.entries(value).map(([name, member]) => [name, this.#below(name, member)] as const)
    const stray = members.find(([name]) => names !== undefined && !names.includes(name))
    if (stray !== undefined) throw new RulesError(stray[1].pointer, `unknown member; want ${names?.join(', ')}`)
    return new Map(members)
  }

  elements(min: number, max: number): readonly JsonReader[] {
    const { value } = this
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      return this.refuse(`a list of ${min} to ${max}`)
    }
    return value.map((element: unknown, i) => this.#below(String(i), element))
  }

  /** A list, or the one thing that would be in it. */
  oneOrMore(max: number): readonly JsonReader[] {
    return Array.isArray(this.value) ? this.elements(1, max) : [this]
  }

  text(unitsMax: number): string {
    const { value } = this
    if (typeof value === 'string' && value.length <= unitsMax) return value
    return this.refuse(`a text of ${unitsMax} characters at most`)
  }

  oneOf<const T extends string>(choices: readonly T[]): T {
    return choices.find((choice) => choice === this.value) ?? this.refuse(choices.join(', '))
  }

  integer(min: number, max: number): number {
    const { value } = this
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    return this.refuse(`an integer of ${min} to ${max}`)
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.refuse('true or false')
  }

  #below(name: string, value: unknown): JsonReader {
    return new JsonReader(value, `${this.pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)
  }
}
