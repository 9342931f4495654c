// Two things are called incidents. What stopped the log is noted by `log/incident-record.ts` in the table `incidents`:
// a row a code and checkpoint, for operators who ask why; nobody opens or closes it, and `dendrolog.incident` tells of
// it. Here are those that people work on (table `opened_incidents`): a violation opens one, once a type and place,
// hooks are told, and it is open until somebody closes it. A stop that is a violation (`findingOfStop`) opens one too.
import { createHash } from 'node:crypto'
import { storableText } from '../ops/storable-text.ts'
import { insertAct, type SignAct, type SignedAct } from '../store/acts.ts'
import { type ListedAlarm, readAlarmsOf, readDeadAlarms, reviveAlarms } from '../store/alarms.ts'
import type { Schema } from '../store/batch.ts'
import {
  addContainment,
  closeIncident,
  countIncident,
  type IncidentFilter,
  type IncidentState,
  insertIncident,
  type ListedIncident,
  type NewIncident,
  type OpenedIncident,
  readIncident,
  readIncidentsAfter,
  readIncidentsBefore,
  readUntoldOpened,
  tellOpened,
} from '../store/opened-incidents.ts'
import type { Query } from '../store/session.ts'
import { type DraftOptions, draftIncident, type IncidentFinding, overflowKeyOf, overflowOf } from './finding.ts'
import type { Holds } from './holds.ts'

export class IncidentRefusal extends Error {
  readonly code: 'no-such-incident'

  constructor(code: IncidentRefusal['code'], message: string) {
    super(message)
    this.name = 'IncidentRefusal'
    this.code = code
  }
}

/** An incident that is open, by this finding or an earlier one. */
export type OpenIncident = { readonly id: string; readonly isNew: boolean }

export type IncidentOfficeOptions = DraftOptions & {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  readonly signAct: SignAct
  /** Names of the hooks that are told of what is opened here. */
  readonly hooks: readonly string[]
  /** Told when one was closed: whoever remembers its findings, and so tells them no more, is to forget them. */
  readonly onClosed?: (incident: OpenedIncident) => Promise<void>
}

/** Of a type; what is found beyond them counts together, so that ten million altered rows are no ten million alarms. */
export const openMax = 100
const untoldMax = 100
/** Unicode code points. */
export const closeReasonMax = 1_000

/** Whether an incident may be closed for it: 1 to 1,000 characters, not all of them space. */
export function isCloseReason(text: string): boolean {
  return text.trim() !== '' && text.length <= 2 * closeReasonMax && [...text].length <= closeReasonMax
}

/**
 * Opens, shows and closes incidents. Opening and closing are told in the outbox of the log's own acts, in the statement
 * that also queues the alarms. `by` is the identity of who does it.
 */
export class IncidentOffice {
  readonly #options: IncidentOfficeOptions

  constructor(options: IncidentOfficeOptions) {
    this.#options = options
  }

  /** Opens an incident, or counts once more where one of its type and place is open. */
  async open(finding: IncidentFinding, by: string): Promise<OpenIncident> {
    return this.openDraft(draftIncident(finding, by, this.#options), finding)
  }

  /** As `open`, of a draft that alarms may have told of already. */
  async openDraft(draft: NewIncident, finding: IncidentFinding): Promise<OpenIncident> {
    const opened = await this.#openOne(draft, openMax)
    if (opened !== undefined) return opened
    const overflow = draftIncident(overflowOf(finding, openMax), draft.openedBy, this.#options)
    const further = await this.#openOne({ ...overflow, key: overflowKeyOf(finding) }, Number.MAX_SAFE_INTEGER)
    if (further !== undefined) return further
    throw new Error(`open an incident of ${draft.violationType}: others open and close the same`)
  }

  /** Undefined where none of its key is open and there is no room for it. */
  async #openOne(incident: NewIncident, max: number): Promise<OpenIncident | undefined> {
    const { query, schema } = this.#options
    const known = await countIncident(query, schema, incident.key)
    if (known !== undefined) return { id: known, isNew: false }
    if (await this.#insert(incident, max)) return { id: incident.id, isNew: true }
    const other = await countIncident(query, schema, incident.key)
    return other === undefined ? undefined : { id: other, isNew: false }
  }

  async #insert(incident: NewIncident, max: number): Promise<boolean> {
    const { query, schema, hooks } = this.#options
    const opening = { incident, hooks, openMax: max, uncountedKey: overflowKeyOf(incident) }
    try {
      // Nor does an alarm wait for a key that is elsewhere: what was not told is told later.
      const told = await this.#tellOpened(incident).catch(() => undefined)
      return await insertIncident(query, schema, { ...opening, told })
    } catch (error) {
      if (!isFull(error)) throw error
      // An alarm does not wait for the log to take entries: it may be the reason why it takes none.
      return await insertIncident(query, schema, { ...opening, told: undefined })
    }
  }

  /** Tells of what was opened while the outbox had no room. */
  async tellUntold(): Promise<void> {
    const { query, schema } = this.#options
    for (const incident of await readUntoldOpened(query, schema, untoldMax)) {
      await tellOpened(query, schema, incident.id, await this.#tellOpened(incident))
    }
  }

  /** Up to `limit` behind the one of the id `after`, the oldest first. */
  list(state: IncidentState, after: string | undefined, limit: number): Promise<readonly OpenedIncident[]> {
    return readIncidentsAfter(this.#options.query, this.#options.schema, state, after, limit)
  }

  /** Up to `limit` before the one of the id `before`, the newest first. */
  listNewest(filter: IncidentFilter, before: string | undefined, limit: number): Promise<readonly ListedIncident[]> {
    return readIncidentsBefore(this.#options.query, this.#options.schema, filter, before, limit)
  }

  /** Throws `no-such-incident`. */
  async read(id: string): Promise<OpenedIncident> {
    const incident = await readIncident(this.#options.query, this.#options.schema, id)
    if (incident === undefined) throw new IncidentRefusal('no-such-incident', `no incident has the id ${id}`)
    return incident
  }

  /** What hooks were told of an incident, or are to be. */
  alarmsOf(id: string): Promise<readonly ListedAlarm[]> {
    return readAlarmsOf(this.#options.query, this.#options.schema, id)
  }

  /**
   * Closes an incident, for what is a close reason; one that was closed before is left as it is. What is found again at
   * the same place opens another one. Rejects, changing nothing, where the outbox has no room. Throws `no-such-incident`.
   */
  async close(id: string, by: string, reason: string): Promise<OpenedIncident> {
    const { query, schema, signAct, onClosed } = this.#options
    const incident = await this.read(id)
    if (incident.closedAt !== null) return incident
    const closing = { id, by, reason: storableText(reason, 2 * closeReasonMax) }
    const told = await signAct({
      ...{ action: 'dendrolog.incident.close', actorId: by, resource: `incident:${id}` },
      detail: { incidentId: id, violationType: incident.violationType, key: incident.key, reason: closing.reason },
    })
    const closed = await closeIncident(query, schema, closing, told)
    if (closed === undefined) return this.read(id)
    await onClosed?.(closed)
    return closed
  }

  /** Adds what was done about an incident on its own account. False where none of this id is stored yet. */
  async addContainment(id: string, done: readonly object[], by: string): Promise<boolean> {
    const { query, schema, signAct } = this.#options
    const part = { id, done: JSON.stringify(done) }
    try {
      const told = { action: 'dendrolog.incident.contain', actorId: by, resource: `incident:${id}` }
      const act = await signAct({ ...told, detail: { incidentId: id, containment: done } })
      return await addContainment(query, schema, part, act)
    } catch (error) {
      if (!isFull(error)) throw error
      return await addContainment(query, schema, part, undefined)
    }
  }

  /** Tells that what was stopped goes on. Rejects where the outbox has no room. */
  async tellReleased(holds: Holds, by: string): Promise<void> {
    const { query, schema, signAct } = this.#options
    const told = { action: 'dendrolog.incident.release', actorId: by, resource: 'containment' }
    await insertAct(query, schema, await signAct({ ...told, detail: holds }))
  }

  /** What could not be delivered and was given up, the oldest first, at most `limit`. */
  deadLetters(limit: number): Promise<readonly ListedAlarm[]> {
    return readDeadAlarms(this.#options.query, this.#options.schema, limit)
  }

  /** Has dead letters tried again, these or all; how many alarms that made. */
  retry(ids: readonly string[] | 'all'): Promise<number> {
    return reviveAlarms(this.#options.query, this.#options.schema, ids)
  }

  /** The same for those of an incident. Throws `no-such-incident`. */
  async retryOf(id: string): Promise<number> {
    await this.read(id)
    return this.retry((await this.alarmsOf(id)).map((alarm) => alarm.id))
  }

  /** The evidence by its hash: it stays with the incident. */
  #tellOpened({ id, violationType, key, sequenceNumber, detail, evidence, openedBy }: NewIncident): Promise<SignedAct> {
    return this.#options.signAct({
      ...{ action: 'dendrolog.incident.open', actorId: openedBy, resource: `incident:${id}` },
      detail: {
        ...{ incidentId: id, violationType, key, sequenceNumber, detail },
        evidenceSha256: createHash('sha256').update(evidence).digest('hex'),
      },
    })
  }
}

/** The outbox of acts has no room (SQLSTATE configuration_limit_exceeded). */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '53400'
}
