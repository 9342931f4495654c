import { setTimeout as sleep } from 'node:timers/promises'
import { storableText } from '../ops/storable-text.ts'
import {
  type Contained,
  incidentFolder,
  makeIncidentFolder,
  readContained,
  writeContained,
} from './containment-record.ts'
import type { IncidentFinding } from './finding.ts'

/** An incident that something is to be done about. */
export type ContainedIncident = { readonly id: string; readonly finding: IncidentFinding }

/** Something that can be done about an incident. */
export type Measure = {
  readonly name: string
  /** Takes minutes or hours: no other incident's measures wait for it. */
  readonly isSlow?: boolean
  /**
   * What would be gone after other measures, taken before any of them, while the alarm goes out. Nobody waits for it for
   * more than some seconds.
   */
  readonly begin?: (incident: ContainedIncident, signal: AbortSignal) => Promise<unknown>
  /** Says what it did, for people; `folder` is the incident's. Rejects where it could not. */
  readonly carryOut: (incident: ContainedIncident, folder: string, signal: AbortSignal) => Promise<string>
}

export type ContainmentOptions = {
  readonly dataDir: string
  /** Carried out in this order, slow ones last, each whatever came of the others. */
  readonly measures: readonly Measure[]
  /** Resolves when each hook had the alarm or its first attempt failed, or after a time. */
  readonly untilTold: (id: string, signal: AbortSignal) => Promise<void>
  /** Writes to the incident what was done; false where that is not stored yet. */
  readonly tell: (id: string, done: readonly Contained[]) => Promise<boolean>
  readonly onContained: (id: string, done: Contained) => void
  /** Told of each failure to write down what was done. */
  readonly onFailed: (error: unknown) => void
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

const idleMs = 250
const retryMs = 5_000
const reasonCharactersMax = 1_000
const beginMs = 5_000
/** Incidents that wait; each is small, and of a type there are a hundred at most. */
const waitingMax = 1_000

/** An incident of which something was done. */
type Begun = { readonly incident: ContainedIncident; readonly folder: string; readonly done: Contained[] }

/**
 * Contains incidents, one at a time and each once a data folder: what was begun with is in its folder. Whoever asks for
 * it does not wait. Nothing here is done before the alarm is out, so that it silences none. What is slow goes on beside
 * the rest.
 */
export class Containment {
  readonly #options: ContainmentOptions
  readonly #waiting = new Map<string, ContainedIncident>()
  /** Not begun with again by this process. */
  readonly #begun = new Set<string>()
  /** Slow measures are to be carried out. */
  readonly #slow: Begun[] = []
  #untold: { readonly id: string; readonly done: readonly Contained[] }[] = []

  constructor(options: ContainmentOptions) {
    this.#options = options
  }

  /** Soon, where it was not contained before. Matches of watch rules are of people's rules: nothing was tampered with. */
  contain(incident: ContainedIncident): void {
    const { id, finding } = incident
    if (this.#options.measures.length === 0 || !isContainable(finding)) return
    if (this.#begun.has(id) || this.#waiting.size >= waitingMax) return
    this.#waiting.set(id, incident)
  }

  /** Until `signal` aborts; what is under way then is ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#options.measures.length > 0) await Promise.all([this.#runQuick(signal), this.#runSlow(signal)])
    // What was not begun with says so: it is not done by the next start either.
    for (const next of this.#slow.splice(0)) await this.#carryOutAll(this.#slowMeasures, next, signal)
    await this.#tellAll()
  }

  get #slowMeasures(): readonly Measure[] {
    return this.#options.measures.filter(({ isSlow }) => isSlow === true)
  }

  async #runQuick(signal: AbortSignal): Promise<void> {
    let tellAt = 0
    while (!signal.aborted) {
      for (const incident of [...this.#waiting.values()]) {
        this.#waiting.delete(incident.id)
        if (!signal.aborted) await this.#containOnce(incident, signal).catch(this.#options.onFailed)
      }
      if (performance.now() >= tellAt) tellAt = (await this.#tellAll()) ? 0 : performance.now() + retryMs
      await idle(signal)
    }
  }

  async #runSlow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const next = this.#slow.shift()
      if (next === undefined) await idle(signal)
      else await this.#carryOutAll(this.#slowMeasures, next, signal)
    }
  }

  async #containOnce(incident: ContainedIncident, signal: AbortSignal): Promise<void> {
    const { dataDir, measures, untilTold, onFailed } = this.#options
    const { id } = incident
    if (this.#begun.has(id)) return
    this.#begun.add(id)
    if ((await readContained(dataDir, id)) !== undefined) return
    await Promise.all([untilTold(id, signal), this.#beginAll(incident, signal)])
    // A disk without room is no reason to leave an attacker alone: measures that need the folder fail then.
    const folder = await makeIncidentFolder(dataDir, id).catch((error: unknown) => {
      onFailed(error)
      return incidentFolder(dataDir, id)
    })
    const begun: Begun = { incident, folder, done: [] }
    const quick = measures.filter(({ isSlow }) => isSlow !== true)
    await this.#carryOutAll(quick, begun, signal)
    if (quick.length < measures.length) this.#slow.push(begun)
  }

  async #beginAll(incident: ContainedIncident, signal: AbortSignal): Promise<void> {
    const begun = this.#options.measures.map(({ begin }) => begin?.(incident, signal))
    const pause = new AbortController()
    const late = sleep(beginMs, undefined, { signal: AbortSignal.any([signal, pause.signal]) }).catch(() => {})
    await Promise.race([Promise.allSettled(begun), late])
    pause.abort()
  }

  /** What was done is to be told, of these measures together. */
  async #carryOutAll(
    measures: readonly Measure[],
    { incident, folder, done }: Begun,
    signal: AbortSignal,
  ): Promise<void> {
    const { onContained, onFailed } = this.#options
    const before = done.length
    for (const measure of measures) {
      const contained = await this.#carryOut(measure, incident, folder, signal)
      done.push(contained)
      onContained(incident.id, contained)
      await writeContained(folder, done).catch(onFailed)
    }
    if (done.length > before) this.#untold.push({ id: incident.id, done: done.slice(before) })
  }

  async #carryOut(
    { name: measure, carryOut }: Measure,
    incident: ContainedIncident,
    folder: string,
    signal: AbortSignal,
  ): Promise<Contained> {
    const result = await carryOut(incident, folder, signal).then(
      (detail) => ({ isDone: true, detail }),
      (error: unknown) => ({ isDone: false, detail: error instanceof Error ? error.message : String(error) }),
    )
    const detail = storableText(result.detail, reasonCharactersMax)
    return { measure, isDone: result.isDone, detail, at: new Date(this.#options.nowMs()).toISOString() }
  }

  /** False where some of it could not be told yet. */
  async #tellAll(): Promise<boolean> {
    const { tell, onFailed } = this.#options
    for (const untold of [...this.#untold]) {
      try {
        if (await tell(untold.id, untold.done)) this.#untold = this.#untold.filter((each) => each !== untold)
      } catch (error) {
        onFailed(error)
      }
    }
    return this.#untold.length === 0
  }
}

function idle(signal: AbortSignal): Promise<void> {
  return sleep(idleMs, undefined, { signal }).catch(() => {})
}

/** A schema that was changed alone is often an administrator's work. */
function isContainable({ violationType }: IncidentFinding): boolean {
  return !violationType.startsWith('WATCH_') && violationType !== 'SCHEMA_TAMPERED'
}
