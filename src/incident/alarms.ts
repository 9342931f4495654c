import { setTimeout as sleep } from 'node:timers/promises'
import type { Hook } from '../ops/hooks/hook.ts'
import { type SentAlarm, sendNow } from '../ops/hooks/send-now.ts'
import { settleWithin } from '../ops/time-out.ts'
import type { NewIncident } from '../store/opened-incidents.ts'
import { isOutage } from '../store/outage.ts'
import { alarmOfUnstored } from './alarm.ts'
import type { AlarmSender } from './alarm-sender.ts'
import { type DraftOptions, draftIncident, type IncidentFinding, keyOf } from './finding.ts'
import type { IncidentOffice, OpenIncident } from './incident-office.ts'

export type AlarmsOptions = DraftOptions & {
  readonly office: IncidentOffice
  readonly sender: AlarmSender
  readonly hooks: readonly Hook[]
  readonly origin: string
  /** Who finds: the `openedBy` of incidents. */
  readonly by: string
  readonly onOpened: (finding: IncidentFinding, opened: OpenIncident) => void
  /** Told of what hooks were told without the queue, since it could not be written. */
  readonly onSentUnstored: (finding: IncidentFinding, sent: readonly SentAlarm[]) => void
  /** Told, maybe more than once, of what hooks were told of, or the queue has; by the id of its alarms. */
  readonly onHandedOver?: ((finding: IncidentFinding, id: string) => void) | undefined
  /** Told of each failure to open; it is tried again. */
  readonly onFailed: (error: unknown) => void
  /** Told of a finding of which no incident was opened: there was no room, or the end came before. */
  readonly onDropped: (finding: IncidentFinding) => void
  readonly timing?: Partial<{
    readonly everyMs: number
    readonly retryMaxMs: number
    readonly lastMs: number
    readonly oweMs: number
  }>
}

type Raised = {
  readonly finding: IncidentFinding
  readonly draft: NewIncident
  isNew: boolean
  /** Hooks that were not told without the queue. */
  untold: readonly Hook[]
}

/** What the queue has, and may keep for itself. */
type Owed = { readonly finding: IncidentFinding; readonly draft: NewIncident; readonly dueMs: number }

const defaultTiming = { everyMs: 250, retryMaxMs: 30_000, lastMs: 2_000, oweMs: 15_000 }
/** Findings of different places that wait to be opened. */
const waitingMax = 1_000
/** Of them, told without the queue at the same time; the others follow. */
const sendingMax = 8

/**
 * Findings on their way to incidents and to the outside world. Whoever found something does not wait. Where the queue
 * cannot be written, because the database is away or somebody took its login, hooks are told at once from memory, and
 * again by the queue when that is back, with the same ids. What waits in memory is lost if the process ends before.
 * Whoever writes to the database may make it say that all was told: of what is new hooks are told from memory where the
 * queue does not hand it out.
 */
export class Alarms {
  readonly #options: AlarmsOptions
  readonly #timing: typeof defaultTiming
  readonly #waiting = new Map<string, Raised>()
  readonly #sending = new Set<Promise<void>>()
  readonly #owed = new Map<string, Owed>()
  readonly #opening = new Set<Raised>()

  constructor(options: AlarmsOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
  }

  /** Opens an incident of the finding, soon, where none of its type and place is open. Waits for nothing. */
  raise(finding: IncidentFinding): void {
    const isNew = finding.isNew === true
    const key = keyOf(finding)
    const same = this.#waiting.get(key)
    if (same !== undefined) {
      same.isNew ||= isNew
      return
    }
    if (this.#waiting.size >= waitingMax) return void this.#options.onDropped(finding)
    const { hooks: untold, by } = this.#options
    this.#waiting.set(key, { finding, draft: draftIncident(finding, by, this.#options), isNew, untold })
  }

  /** Opens and delivers until `signal` aborts, then opens what still waits. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#options.sender.run(signal), this.#openUntil(signal)])
    await this.#end()
  }

  /** Opens what was raised and delivers what can be delivered now, for a program that ends then. Never rejects. */
  async runOnce(signal: AbortSignal): Promise<void> {
    await this.#openAll(signal)
    const emptied = await this.#options.sender.runOnce(signal)
    this.#sendOwed(Number.POSITIVE_INFINITY, emptied, signal)
    await Promise.all(this.#sending)
    await this.#end()
  }

  async #openUntil(signal: AbortSignal): Promise<void> {
    const { everyMs, retryMaxMs } = this.#timing
    for (let failures = 0; !signal.aborted; ) {
      failures = (await this.#openAll(signal)) ? 0 : failures + 1
      this.#sendOwed(performance.now(), this.#options.hooks, signal)
      await sleep(Math.min(retryMaxMs, everyMs * 2 ** failures), undefined, { signal }).catch(() => {})
    }
  }

  /** What is lost now is told. */
  async #end(): Promise<void> {
    const { lastMs } = this.#timing
    const { onFailed, onDropped } = this.#options
    const last = this.#waiting.size === 0 ? Promise.resolve(true) : this.#openAll(AbortSignal.timeout(lastMs))
    await settleWithin(lastMs, 'open incidents', last).catch(onFailed)
    await settleWithin(lastMs, 'alarms', Promise.all(this.#sending)).catch(onFailed)
    for (const { finding } of [...this.#opening, ...this.#waiting.values()]) onDropped(finding)
  }

  /** False where not all could be opened. */
  async #openAll(signal: AbortSignal): Promise<boolean> {
    const { office, onFailed } = this.#options
    let [isWhole, isAway] = [true, false]
    const tried = async (work: () => Promise<void>, orElse = (): void => {}): Promise<void> => {
      try {
        if (!isAway) return await work()
      } catch (error) {
        // What is wrong with one finding is no reason for the next to wait; a database that is away is one for all.
        isAway = isOutage(error)
        onFailed(error)
      }
      isWhole = false
      orElse()
    }
    for (const [key, raised] of [...this.#waiting]) {
      await tried(
        () => this.#open(key, raised),
        () => this.#sendUnstored(raised, signal),
      )
    }
    await tried(() => office.tellUntold())
    return isWhole
  }

  async #open(key: string, raised: Raised): Promise<void> {
    const { finding, draft, isNew } = raised
    const opened = await this.#openWaiting(key, raised)
    if (isNew && !this.#owed.has(opened.id) && this.#owed.size < waitingMax) {
      const dueMs = performance.now() + this.#timing.oweMs
      this.#owed.set(opened.id, { finding, draft: { ...draft, id: opened.id }, dueMs })
    }
    this.#options.onOpened(finding, opened)
    this.#options.onHandedOver?.(finding, opened.id)
  }

  /** What is raised meanwhile is another one. */
  async #openWaiting(key: string, raised: Raised): Promise<OpenIncident> {
    this.#waiting.delete(key)
    this.#opening.add(raised)
    try {
      return await this.#options.office.openDraft(raised.draft, raised.finding)
    } catch (error) {
      this.#waiting.set(key, raised)
      throw error
    } finally {
      this.#opening.delete(raised)
    }
  }

  /** Hooks that the queue did not even try are told without it. */
  #sendOwed(nowMs: number, hooks: readonly Hook[], signal: AbortSignal): void {
    const { origin, sender, onSentUnstored } = this.#options
    for (const [id, { finding, draft, dueMs }] of this.#owed) {
      if (dueMs > nowMs || this.#sending.size >= sendingMax) continue
      this.#owed.delete(id)
      const attempted = sender.attemptedOf(id)
      const untold = hooks.filter(({ name }) => !attempted.has(name))
      if (untold.length === 0) continue
      const sending = sendNow(untold, alarmOfUnstored(origin, draft), signal)
        .then((sent) => onSentUnstored(finding, sent))
        .finally(() => this.#sending.delete(sending))
      this.#sending.add(sending)
    }
  }

  #sendUnstored(raised: Raised, signal: AbortSignal): void {
    const { origin, onSentUnstored } = this.#options
    const { finding, draft, untold } = raised
    if (untold.length === 0) this.#options.onHandedOver?.(finding, draft.id)
    if (untold.length === 0 || this.#sending.size >= sendingMax) return
    raised.untold = []
    const sending = sendNow(untold, alarmOfUnstored(origin, draft), signal)
      .then((sent) => {
        raised.untold = untold.filter(({ name }) =>
          sent.some(({ hook, error }) => hook === name && error !== undefined),
        )
        onSentUnstored(finding, sent)
        this.#options.onHandedOver?.(finding, draft.id)
      })
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }
}
