import { setTimeout as sleep } from 'node:timers/promises'
import { deliverMs, type Hook, HookFailure } from '../ops/hooks/hook.ts'
import { storableText } from '../ops/storable-text.ts'
import { settleWithin } from '../ops/time-out.ts'
import {
  type AlarmCounts,
  buryOldAlarms,
  type ClaimedAlarm,
  claimAlarm,
  countAlarms,
  type Settled,
  settleAlarm,
} from '../store/alarms.ts'
import type { Schema } from '../store/batch.ts'
import { countOpenIncidents, type OpenIncidents, readIncident } from '../store/opened-incidents.ts'
import type { Query } from '../store/session.ts'
import { alarmOf } from './alarm.ts'

export type AlarmSenderOptions = {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  readonly origin: string
  readonly hooks: readonly Hook[]
  /** Told of each attempt; `reason` where it failed. */
  readonly onAttempt: (hook: string, outcome: Settled['kind'], reason: string | undefined) => void
  readonly onCounted: (counts: readonly AlarmCounts[], openIncidents: OpenIncidents) => void
  /** Told of each failure to read or write the queue; it is tried again. */
  readonly onFailed: (error: unknown) => void
  readonly timing?: Partial<AlarmTiming>
}

/** Milliseconds, but for the attempts. */
export type AlarmTiming = {
  /** Between looks at a queue that has nothing due. */
  readonly idleMs: number
  /** After the first attempt; twice as long after each further one, up to `retryMaxMs`. */
  readonly retryMs: number
  readonly retryMaxMs: number
  readonly attemptsMax: number
  /** So long an alarm is ours; longer than an attempt and its writing take. */
  readonly leaseMs: number
  /** What waited so long has no hook any more: longer than all attempts take. */
  readonly buryMs: number
  readonly countMs: number
}

/** 20 attempts: eleven hours and a half. */
const defaultTiming: AlarmTiming = {
  idleMs: 1_000,
  retryMs: 5_000,
  retryMaxMs: 3_600_000,
  attemptsMax: 20,
  leaseMs: 60_000,
  buryMs: 259_200_000,
  countMs: 10_000,
}

const errorCharactersMax = 1_000
/** Incidents of which it is known whom this process has told. */
const attemptedMax = 2_000
/** A hook ends by itself within `deliverMs`; one that cannot must not keep its queue. */
const attemptMs = 2 * deliverMs
const outageMaxMs = 30_000
const endedAtStop = 'this server stopped'

/**
 * Delivers what is in the queue, a loop a hook: one that hangs or fails holds up no other. What is under way when the
 * process ends is delivered by the next start, or by another server, once its lease is over; so receivers may get an
 * alarm twice, with the same id.
 */
export class AlarmSender {
  readonly #options: AlarmSenderOptions
  readonly #timing: AlarmTiming
  readonly #attempted = new Map<string, Set<string>>()

  constructor(options: AlarmSenderOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
  }

  /** Names of the hooks that this process has told of an incident's opening, or tries to. */
  attemptedOf(incident: string): ReadonlySet<string> {
    return this.#attempted.get(incident) ?? new Set()
  }

  /** Delivers until `signal` aborts; attempts under way are ended then. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { hooks } = this.#options
    const { idleMs, countMs } = this.#timing
    const loops = hooks.map((hook) => this.#repeat(idleMs, signal, () => this.#deliverDue(hook, signal)))
    await Promise.all([...loops, this.#repeat(countMs, signal, () => this.#count())])
  }

  /**
   * Delivers what is due, to each hook until an attempt fails, for a program that ends then: the rest is for the next.
   * Gives the hooks for which nothing is due any more. Never rejects.
   */
  async runOnce(signal: AbortSignal): Promise<readonly Hook[]> {
    const { hooks, onFailed } = this.#options
    const emptied: Hook[] = []
    const deliver = async (hook: Hook): Promise<void> => {
      if (await this.#deliverUntilFailed(hook, signal)) emptied.push(hook)
    }
    const work = [...hooks.map(deliver), this.#count()]
    await Promise.all(work.map((each) => each.catch(onFailed)))
    return emptied
  }

  async #repeat(everyMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        await work()
        failures = 0
      } catch (error) {
        failures++
        this.#options.onFailed(error)
      }
      const pauseMs = failures === 0 ? everyMs : Math.min(outageMaxMs, everyMs * 2 ** failures)
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  async #deliverDue(hook: Hook, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) if ((await this.#deliverNext(hook, signal)) === undefined) return
  }

  /** Whether nothing is due any more. */
  async #deliverUntilFailed(hook: Hook, signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const outcome = await this.#deliverNext(hook, signal)
      if (outcome !== 'delivered') return outcome === undefined
    }
    return false
  }

  /** Undefined where nothing is due. */
  async #deliverNext(hook: Hook, signal: AbortSignal): Promise<Settled['kind'] | undefined> {
    const { query, schema, onAttempt } = this.#options
    const claimed = await claimAlarm(query, schema, hook.name, this.#timing.leaseMs)
    if (claimed === undefined) return undefined
    const settled = await this.#attempt(hook, claimed, signal)
    await settleAlarm(query, schema, claimed, settled)
    onAttempt(hook.name, settled.kind, settled.kind === 'delivered' ? undefined : settled.error)
    return settled.kind
  }

  async #attempt(hook: Hook, claimed: ClaimedAlarm, signal: AbortSignal): Promise<Settled> {
    const { query, schema, origin } = this.#options
    const incident = await readIncident(query, schema, claimed.incident)
    if (incident === undefined) return { kind: 'dead', error: 'its incident is gone' }
    if (claimed.news === 'opened') this.#noteAttempt(claimed.incident, hook.name)
    try {
      await settleWithin(attemptMs, hook.name, hook.deliver(alarmOf(origin, incident, claimed.news), signal))
      return { kind: 'delivered' }
    } catch (error) {
      if (signal.aborted) return { kind: 'failed', error: endedAtStop, retryMs: 0 }
      return this.#settledAfter(error, claimed.attempts)
    }
  }

  #noteAttempt(incident: string, hook: string): void {
    const hooks = this.#attempted.get(incident) ?? new Set()
    this.#attempted.set(incident, hooks.add(hook))
    const [oldest] = this.#attempted.keys()
    if (this.#attempted.size > attemptedMax && oldest !== undefined) this.#attempted.delete(oldest)
  }

  #settledAfter(cause: unknown, attempts: number): Settled {
    const error = storableText(cause instanceof Error ? cause.message : String(cause), errorCharactersMax)
    const { isFinal, retryAfterMs = 0 } =
      cause instanceof HookFailure ? cause : { isFinal: false, retryAfterMs: undefined }
    const { retryMs, retryMaxMs, attemptsMax } = this.#timing
    if (isFinal || attempts >= attemptsMax) return { kind: 'dead', error }
    const backOffMs = Math.min(retryMaxMs, retryMs * 2 ** (attempts - 1))
    return { kind: 'failed', error, retryMs: Math.max(backOffMs, Math.min(retryAfterMs, retryMaxMs)) }
  }

  async #count(): Promise<void> {
    const { query, schema, onCounted } = this.#options
    await buryOldAlarms(query, schema, this.#timing.buryMs)
    onCounted(await countAlarms(query, schema), await countOpenIncidents(query, schema))
  }
}
