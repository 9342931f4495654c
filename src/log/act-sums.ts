import { formatMicroseconds } from '../../tlog/time.ts'
import type { Act } from '../store/acts.ts'

/** What somebody did, before it is signed. */
export type SaidAct = Omit<Act, 'id' | 'occurredAt'>

/** Of one identity: how often it did what, from when to when (milliseconds since 1970). */
type Sum = { readonly firstMs: number; lastMs: number; readonly counts: Map<string, number> }

/** Identities of a kind that are told apart; further ones count together as `others`. */
const identitiesMax = 1_000
const othersIdentity = 'others'
/** Routes or codes of an identity; they are ours, and few. */
const namesMax = 64
/** Of an `actorId`. */
const actorCharactersMax = 255

/** What is too frequent for an entry each: summed until it is taken. */
export class ActSums {
  readonly #nowMs: () => number
  #reads = new Map<string, Sum>()
  #quarantined = new Map<string, Sum>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** A request of this auditor for entries; a stream counts once, when it begins. */
  noteRead(identity: string, route: string): void {
    this.#add(this.#reads, identity, route)
  }

  /** Records of this writer that went to quarantine, one by one or together, by code. */
  noteQuarantined(identity: string, code: string): void {
    this.#add(this.#quarantined, identity, code)
  }

  /** All sums so far, an act an identity, and begins anew. */
  take(): SaidAct[] {
    const acts = [
      ...[...this.#reads].map(([identity, sum]) => saidOf('entries.read', identity, 'entries', 'requests', sum)),
      ...[...this.#quarantined].map(([identity, sum]) =>
        saidOf('records.quarantined', identity, 'quarantine', 'records', sum),
      ),
    ]
    this.#reads = new Map()
    this.#quarantined = new Map()
    return acts
  }

  #add(sums: Map<string, Sum>, identity: string, name: string): void {
    const nowMs = this.#nowMs()
    const key = sums.has(identity) || sums.size < identitiesMax ? identity : othersIdentity
    const sum = sums.get(key) ?? { firstMs: nowMs, lastMs: nowMs, counts: new Map() }
    sums.set(key, sum)
    sum.lastMs = nowMs
    if (sum.counts.has(name) || sum.counts.size < namesMax) sum.counts.set(name, (sum.counts.get(name) ?? 0) + 1)
  }
}

function saidOf(kind: string, identity: string, resource: string, what: string, sum: Sum): SaidAct {
  const from = formatMicroseconds(sum.firstMs * 1_000)
  const to = formatMicroseconds(sum.lastMs * 1_000)
  return {
    action: `dendrolog.${kind}`,
    actorId: [...identity].slice(0, actorCharactersMax).join(''),
    resource,
    detail: { from, to, [what]: Object.fromEntries(sum.counts) },
  }
}
