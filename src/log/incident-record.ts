import { setTimeout as sleep } from 'node:timers/promises'
import { settleWithin } from '../ops/time-out.ts'
import type { Schema } from '../store/batch.ts'
import { recordIncident, type StoredIncident } from '../store/incidents.ts'
import type { Query } from '../store/session.ts'
import { LogIncident } from './incident.ts'
import type { LogPlace } from './log-options.ts'

const writeEveryMs = 1_000
const lastWriteMs = 2_000
/** Kinds of incidents that wait to be written while the database is away. */
const unwrittenMax = 64

export type IncidentEvents = {
  /** Told each time; must not throw. */
  readonly onNoted: (incident: LogIncident, place: LogPlace) => void
  /** Told of each attempt to write that failed. */
  readonly onFailed: (error: unknown) => void
}

/**
 * Writes down, for operators, what stopped the log. Whoever notes something does not wait, and nothing of this stops
 * the log: what cannot be written now is written when the database is back. Lost if the process ends before.
 */
export class IncidentRecord {
  readonly #query: Query
  readonly #schema: Schema
  readonly #events: IncidentEvents
  readonly #unwritten = new Map<string, StoredIncident>()

  /** `query` is of the login that keeps state. */
  constructor(query: Query, schema: Schema, events: IncidentEvents) {
    this.#query = query
    this.#schema = schema
    this.#events = events
  }

  /** Notes what stopped the log; a database that is away is none of it. */
  note(error: unknown, place: LogPlace): void {
    if (!(error instanceof LogIncident)) return
    this.#add({ ...place, code: error.code, detail: error.message, count: 1 })
    this.#events.onNoted(error, place)
  }

  /** Writes what is noted, until `signal` aborts; then once more. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(writeEveryMs, undefined, { signal }).catch(() => {})
      if (!signal.aborted) await this.#write()
    }
    await settleWithin(lastWriteMs, 'record incidents', this.#write()).catch(this.#events.onFailed)
  }

  async #write(): Promise<void> {
    for (const [key, incident] of this.#unwritten) {
      this.#unwritten.delete(key)
      try {
        await recordIncident(this.#query, this.#schema, incident)
      } catch (error) {
        this.#add(incident)
        this.#events.onFailed(error)
        return
      }
    }
  }

  #add(incident: StoredIncident): void {
    const key = `${incident.code} ${incident.publishedSize}`
    const same = this.#unwritten.get(key)
    if (same === undefined && this.#unwritten.size >= unwrittenMax) return
    this.#unwritten.set(key, { ...incident, count: incident.count + (same?.count ?? 0) })
  }
}
