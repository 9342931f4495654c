import type { JsonReader } from './json-reader.ts'

/** Of a state: it may be of rules that had more room. */
const keysUnitsMax = 67_108_864

export type SeenOptions = {
  readonly learnUs: number
  /** So many are remembered; the one that was not seen for longest is forgotten for the next. */
  readonly keysMax: number
}

/** Remembers what was seen, and tells what is new once it has learned what is usual. */
export class Seen {
  readonly #options: SeenOptions
  /** The one that was not seen for longest is the first. */
  readonly #keys = new Set<string>()
  /** Until then what is new is only remembered; undefined before the first entry. */
  #learnsUntil: number | undefined
  #forgotten = 0

  constructor(options: SeenOptions) {
    this.#options = options
  }

  /** How many had to be forgotten: each of them is new when it comes again. */
  get forgotten(): number {
    return this.#forgotten
  }

  /** Whether it is new and has to be told. */
  add(key: string, timeUs: number): boolean {
    const { learnUs, keysMax } = this.#options
    this.#learnsUntil ??= timeUs + learnUs
    const isNew = !this.#keys.delete(key)
    this.#keys.add(key)
    if (this.#keys.size > keysMax) {
      for (const first of this.#keys) {
        this.#keys.delete(first)
        break
      }
      this.#forgotten++
    }
    return isNew && timeUs >= this.#learnsUntil
  }

  /** A JSON value. */
  format(): unknown {
    return { forgotten: this.#forgotten, learnsUntil: this.#learnsUntil ?? null, keys: [...this.#keys].join(' ') }
  }

  /** Throws RulesError. */
  static parse(state: JsonReader, options: SeenOptions): Seen {
    const seen = new Seen(options)
    const members = state.members(['forgotten', 'learnsUntil', 'keys'])
    const until = members.get('learnsUntil')
    seen.#forgotten = members.get('forgotten')?.integer(0, Number.MAX_SAFE_INTEGER) ?? 0
    seen.#learnsUntil =
      until === undefined || until.value === null ? undefined : until.integer(0, Number.MAX_SAFE_INTEGER)
    const text = members.get('keys')?.text(keysUnitsMax) ?? ''
    for (const key of text === '' ? [] : text.split(' ').slice(-options.keysMax)) seen.#keys.add(key)
    return seen
  }
}
