import { randomBytes } from 'node:crypto'
import { uuidUnixMs } from '../../tlog/uuid.ts'

/** Slots of the table, a power of two, and how many are used at most: 6 MiB, 314,000 ids. */
const slots = 2 ** 19
const usedMax = Math.floor(slots * 0.6)
/** An id that finds no slot within so many steps, which does not happen by chance, raises the horizon above itself. */
const stepsMax = 1_024
const sampled = 1_024
/** A row of entry_ids in COPY binary. */
export const idRowBytes = 34

/**
 * Ids of the ledger that are as new as a horizon, or newer: an id above the horizon that is not here is not in the
 * ledger, and need not be looked up. Ids begin with their time, and those of new events are new (RFC 9562 5.7). Of an
 * id its time and a fingerprint are kept, so that `mayHave` errs in one direction only: yes, although it is not there.
 */
export class RecentIds {
  /** Every id of the ledger with this time or a later one is in the table. */
  #horizonMs: number
  /** Milliseconds since 1970; meaningful where the fingerprint is not 0, which marks an empty slot. */
  #times = new Float64Array(slots)
  #prints = new Uint32Array(slots)
  #used = 0

  /** The caller adds all ids that the ledger has from `horizonMs` (milliseconds since 1970) on. */
  constructor(horizonMs: number) {
    this.#horizonMs = horizonMs
  }

  get horizonMs(): number {
    return this.#horizonMs
  }

  /** Adds the 16 bytes at `ids[at]`. */
  add(ids: Uint8Array, at: number): void {
    const ms = uuidUnixMs(ids, at)
    if (ms < this.#horizonMs) return
    if (this.#used >= usedMax) this.#forgetOldest()
    if (ms >= this.#horizonMs) this.#put(ms, idPrint(ids, at))
  }

  /** False only where the ledger certainly has no such id. */
  mayHave(ids: Uint8Array, at: number): boolean {
    const ms = uuidUnixMs(ids, at)
    if (ms < this.#horizonMs) return true
    const print = idPrint(ids, at)
    let slot = print & (slots - 1)
    for (let steps = 0; steps < stepsMax && this.#prints[slot] !== 0; steps++) {
      if (this.#prints[slot] === print && this.#times[slot] === ms) return true
      slot = (slot + 1) & (slots - 1)
    }
    return false
  }

  #put(ms: number, print: number): void {
    let slot = print & (slots - 1)
    for (let steps = 0; steps < stepsMax; steps++) {
      if (this.#prints[slot] === 0) {
        this.#times[slot] = ms
        this.#prints[slot] = print
        this.#used++
        return
      }
      slot = (slot + 1) & (slots - 1)
    }
    this.#horizonMs = Math.max(this.#horizonMs, ms + 1)
  }

  /** Raises the horizon above about half of the ids, and keeps the others. */
  #forgetOldest(): void {
    const times = this.#times
    const prints = this.#prints
    this.#horizonMs = Math.max(this.#horizonMs, this.#medianMs() + 1)
    this.#times = new Float64Array(slots)
    this.#prints = new Uint32Array(slots)
    this.#used = 0
    for (let slot = 0; slot < slots; slot++) {
      const print = prints[slot] as number
      const ms = times[slot] as number
      if (print !== 0 && ms >= this.#horizonMs) this.#put(ms, print)
    }
  }

  #medianMs(): number {
    const found: number[] = []
    for (let slot = 0; slot < slots; slot += slots / sampled) {
      if (this.#prints[slot] !== 0) found.push(this.#times[slot] as number)
    }
    return found.sort((a, b) => a - b)[found.length >> 1] ?? this.#horizonMs
  }
}

/** Adds the ids of COPY rows as `integrate` makes them: a field count, a length and 16 bytes, a length and 8 bytes. */
export function addIdRows(recent: RecentIds, rows: Uint8Array): void {
  for (let at = 0; at < rows.length; at += idRowBytes) recent.add(rows, at + 6)
}

/** Of this process: who chooses ids cannot choose where they fall. */
const seed = randomBytes(4).readUInt32LE()

/** 32 well mixed bits of the 16 bytes at `ids[at]`; never 0. Ids with the same one need not be equal. */
export function idPrint(ids: Uint8Array, at: number): number {
  let print = seed
  for (let i = at; i < at + 16; i += 4) {
    const word =
      ((ids[i] as number) << 24) |
      ((ids[i + 1] as number) << 16) |
      ((ids[i + 2] as number) << 8) |
      (ids[i + 3] as number)
    print = Math.imul(print ^ word, 0x85ebca6b)
    print ^= print >>> 13
    print = Math.imul(print, 0xc2b2ae35)
    print ^= print >>> 16
  }
  return print >>> 0 || 1
}
