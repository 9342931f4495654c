import { type JsonReader, RulesError } from './json-reader.ts'

type Group = {
  /** Of its newest entries, in order: `count` at most. */
  readonly times: number[]
  /** When it was told last. */
  toldAt: number | undefined
}

/** Of a state: it may be of rules that had more room. */
const groupsStoredMax = 1_000_000

export type WindowsOptions = {
  readonly count: number
  readonly withinUs: number
  /** So many groups are counted at once; the one that was quiet longest is forgotten for the next. */
  readonly groupsMax: number
}

/**
 * Counts entries of groups in a window that ends with the newest one. A burst is told at the entry that completes it,
 * and while it lasts once a window.
 */
export class Windows {
  readonly #options: WindowsOptions
  /** The one that was quiet longest is the first. */
  readonly #groups = new Map<string, Group>()
  #forgotten = 0

  constructor(options: WindowsOptions) {
    this.#options = options
  }

  /** How many groups had to be forgotten. */
  get forgotten(): number {
    return this.#forgotten
  }

  /** Counts an entry of a group; whether it has to be told. Times may come out of order. */
  add(key: string, timeUs: number): boolean {
    const { count, withinUs } = this.#options
    const group = this.#touch(key)
    const { times } = group
    insertInOrder(times, timeUs)
    const newest = times.at(-1) ?? timeUs
    const late = times.findIndex((time) => time >= newest - withinUs)
    times.splice(0, Math.max(late, times.length - count))
    if (times.length < count) return false
    if (group.toldAt !== undefined && newest - group.toldAt <= withinUs) return false
    group.toldAt = newest
    return true
  }

  #touch(key: string): Group {
    const group = this.#groups.get(key) ?? { times: [], toldAt: undefined }
    this.#groups.delete(key)
    this.#groups.set(key, group)
    if (this.#groups.size > this.#options.groupsMax) {
      for (const [first] of this.#groups) {
        this.#groups.delete(first)
        break
      }
      this.#forgotten++
    }
    return group
  }

  /** A JSON value. */
  format(): unknown {
    const groups = [...this.#groups].map(([key, { times, toldAt }]) => [key, toldAt ?? null, ...times])
    return { forgotten: this.#forgotten, groups }
  }

  /** Throws RulesError. */
  static parse(state: JsonReader, options: WindowsOptions): Windows {
    const windows = new Windows(options)
    const members = state.members(['forgotten', 'groups'])
    windows.#forgotten = members.get('forgotten')?.integer(0, Number.MAX_SAFE_INTEGER) ?? 0
    const groups = members.get('groups')?.elements(0, groupsStoredMax) ?? []
    for (const group of groups.slice(-options.groupsMax)) {
      const [key, toldAt, ...times] = group.elements(3, options.count + 2)
      if (key === undefined || toldAt === undefined) throw new RulesError(group.pointer, 'want a key and times')
      windows.#groups.set(key.text(100), {
        times: times.map(readTime),
        toldAt: toldAt.value === null ? undefined : readTime(toldAt),
      })
    }
    return windows
  }
}

function insertInOrder(times: number[], time: number): void {
  let at = times.length
  while (at > 0 && (times[at - 1] as number) > time) at--
  times.splice(at, 0, time)
}

function readTime(time: JsonReader): number {
  return time.integer(0, Number.MAX_SAFE_INTEGER)
}
