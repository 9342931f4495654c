import { Unavailable } from '../src/log/incident.ts'

/** One request, and what it has. Those of a group (one token) get no more than half of what there is together. */
export type Taker = { readonly group: string | undefined; bytes: number }

type Waiter = { readonly taker: Taker; readonly bytes: number; readonly grant: () => void; readonly refuse: () => void }

/** `line`: those that have waited for room, the oldest first. */
type Group = { bytes: number; readonly line: Set<Taker> }

/**
 * Bounds the bytes that all requests take together, for their bodies or for what they read. Who does not fit comes again
 * later, or may wait for it. Who waits has some already, maybe: the oldest gets what is left beyond what those who wait
 * may have together, and so one of them always comes to its end.
 */
export class ByteBudget {
  readonly #bytesMax: number
  readonly #waitedMax: number
  #bytes = 0
  /** By age. */
  #waiters: Waiter[] = []
  /** Those that have waited, by age. */
  readonly #ages = new Map<Taker, number>()
  #age = 0
  readonly #groups = new Map<string, Group>()

  /** `waitedMax`: those that wait get no more together, so that the others, who do not, find room. */
  constructor(bytesMax: number, waitedMax: number = bytesMax) {
    this.#bytesMax = bytesMax
    this.#waitedMax = waitedMax
  }

  get bytesTaken(): number {
    return this.#bytes
  }

  /** Throws `Unavailable` where there is no room; for who is alone there is room for anything. */
  take(bytes: number, taker: Taker = { group: undefined, bytes: 0 }): void {
    if (this.#bytes > taker.bytes && !this.#hasRoom(bytes, this.#bytesMax)) throw noRoom()
    if (!isWithin(this.#groupOf(taker), taker, bytes, this.#bytesMax / 2)) throw noRoom()
    this.#add(bytes, taker)
  }

  /**
   * Takes when there is room, those first that came first; rejects with `Unavailable` where there is none after `maxMs`.
   * The taker must `leave`.
   */
  takeLater(bytes: number, maxMs: number, taker: Taker = { group: undefined, bytes: 0 }): Promise<void> {
    if (!this.#ages.has(taker)) this.#ages.set(taker, this.#age++)
    this.#groupOf(taker)?.line.add(taker)
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => (): void => {
        clearTimeout(timer)
        this.#waiters = this.#waiters.filter((each) => each !== waiter)
        settle()
      }
      const refuse = end(() => reject(noRoom()))
      const waiter = { taker, bytes, refuse, grant: end(resolve) }
      const timer = setTimeout(() => {
        refuse()
        // Those behind may be smaller.
        this.#grant()
      }, maxMs)
      this.#wait(waiter)
      this.#grant()
    })
  }

  give(bytes: number, taker: Taker = { group: undefined, bytes: 0 }): void {
    this.#add(-bytes, taker)
    this.#grant()
  }

  /** Gives back all that is left, and waits for no more. */
  leave(taker: Taker): void {
    const hasWaited = this.#ages.delete(taker)
    if (hasWaited) {
      for (const waiter of this.#waiters.filter((each) => each.taker === taker)) waiter.refuse()
      this.#groupOf(taker)?.line.delete(taker)
    }
    if (taker.bytes > 0) this.#add(-taker.bytes, taker)
    this.#forgetGroup(taker)
    this.#grant()
  }

  #wait(waiter: Waiter): void {
    const age = this.#ageOf(waiter)
    const behind = this.#waiters.findIndex((each) => this.#ageOf(each) > age)
    if (behind < 0) this.#waiters.push(waiter)
    else this.#waiters.splice(behind, 0, waiter)
  }

  #ageOf({ taker }: Waiter): number {
    return this.#ages.get(taker) ?? Number.POSITIVE_INFINITY
  }

  #grant(): void {
    for (const waiter of [...this.#waiters]) {
      const { taker, bytes } = waiter
      if (!isWithin(this.#groupOf(taker), taker, bytes, this.#waitedMax / 2)) continue
      const isOldest = taker.bytes > 0 && first(this.#ages.keys()) === taker
      if (!this.#hasRoom(bytes, isOldest ? this.#bytesMax : this.#waitedMax)) return
      this.#add(bytes, taker)
      waiter.grant()
    }
  }

  #hasRoom(bytes: number, bytesMax: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= bytesMax
  }

  #add(bytes: number, taker: Taker): void {
    this.#bytes += bytes
    taker.bytes += bytes
    const group = this.#groupOf(taker)
    if (group !== undefined) group.bytes += bytes
  }

  #groupOf({ group: name }: Taker): Group | undefined {
    if (name === undefined) return undefined
    const known = this.#groups.get(name)
    if (known !== undefined) return known
    const made = { bytes: 0, line: new Set<Taker>() }
    this.#groups.set(name, made)
    return made
  }

  #forgetGroup({ group: name }: Taker): void {
    const group = name === undefined ? undefined : this.#groups.get(name)
    if (name !== undefined && group?.bytes === 0 && group.line.size === 0) this.#groups.delete(name)
  }
}

/** The oldest of a group may have more, and so may who is alone in it. */
function isWithin(group: Group | undefined, taker: Taker, bytes: number, bytesMax: number): boolean {
  if (group === undefined || group.bytes === taker.bytes || first(group.line) === taker) return true
  return group.bytes + bytes <= bytesMax
}

function first<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value
  return undefined
}

function noRoom(): Unavailable {
  return new Unavailable('too many bytes of other requests are under way')
}

/** What one request took. */
export class BudgetShare {
  readonly #budget: ByteBudget
  readonly #taker: Taker
  /** Taken beforehand, and not used yet. */
  #ahead = 0

  /** `group`: whose requests get no more than half together. */
  constructor(budget: ByteBudget, group?: string) {
    this.#budget = budget
    this.#taker = { group, bytes: 0 }
  }

  take(bytes: number): void {
    const used = Math.min(bytes, this.#ahead)
    if (bytes > used) this.#budget.take(bytes - used, this.#taker)
    this.#ahead -= used
  }

  /** Gives back what was taken ahead and not used. */
  settle(): void {
    this.reduceTo(this.#taker.bytes - this.#ahead)
    this.#ahead = 0
  }

  /** Waits until `bytes` can be taken, which `take` then uses first. */
  async takeAhead(bytes: number, maxMs: number): Promise<void> {
    await this.#budget.takeLater(bytes, maxMs, this.#taker)
    this.#ahead += bytes
  }

  /** Gives back what is more than `bytes`. */
  reduceTo(bytes: number): void {
    if (bytes < this.#taker.bytes) this.#budget.give(this.#taker.bytes - bytes, this.#taker)
  }

  /** Gives all of it back. */
  close(): void {
    this.#budget.leave(this.#taker)
  }
}
