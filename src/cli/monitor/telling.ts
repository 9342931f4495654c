import type { Alarm, Hook } from '../../ops/hooks/hook.ts'
import { sendNow } from '../../ops/hooks/send-now.ts'
import type { Told } from './state.ts'

export type TellingOptions = {
  readonly hooks: readonly Hook[]
  readonly nowMs: () => number
  readonly onTrouble: (reason: string) => void
}

/** Of an alarm to a hook, over all looks: ten hours. */
const attemptsMax = 20
/** So many looks try again at once. */
const eagerMax = 3
const retryMs = 1_000
const retryMaxMs = 3_600_000

/** Tells hooks what they do not have yet. What does not arrive stays `untold`, for a later look. */
export class Telling {
  readonly #options: TellingOptions
  readonly #failed = new Set<string>()

  constructor(options: TellingOptions) {
    this.#options = options
  }

  /** Hooks that failed are tried again from here on: one that is away does not hold up a look for each alarm. */
  begin(): void {
    this.#failed.clear()
  }

  /** The same, with who has it now. Never rejects. */
  async tellEach<T extends Told>(
    all: readonly T[],
    alarmOf: (known: T) => Alarm,
    signal: AbortSignal,
  ): Promise<readonly T[]> {
    const told: T[] = []
    for (const known of all) told.push(await this.#tell(known, alarmOf, signal))
    return told.every((known, i) => known === all[i]) ? all : told
  }

  async #tell<T extends Told>(known: T, alarmOf: (known: T) => Alarm, signal: AbortSignal): Promise<T> {
    const { hooks, nowMs, onTrouble } = this.#options
    // One that is not in the settings now may be in those of the next look.
    const wanted = hooks.filter(({ name }) => known.untold.includes(name) && !this.#failed.has(name))
    if (wanted.length === 0 || signal.aborted || !isDue(known, nowMs())) return known
    const alarm = alarmOf(known)
    const sent = await sendNow(wanted, alarm, signal, known.attempts === 0 ? undefined : [])
    const failed = sent.filter(({ error }) => error !== undefined)
    const news = alarm.news === 'closed' ? `that ${known.violationType} is over` : `of ${known.violationType}`
    for (const { hook, error } of failed) {
      this.#failed.add(hook)
      onTrouble(`${hook} was not told ${news}: ${error}`)
    }
    const attempts = known.attempts + 1
    const isOver = attempts >= attemptsMax && failed.length > 0
    if (isOver) onTrouble(`telling ${news} is given up after ${attempts} looks`)
    const settled = isOver ? sent : sent.filter(({ error }) => error === undefined)
    return {
      ...known,
      ...{ attempts, triedMs: nowMs() },
      told: [...known.told, ...sent.filter(({ error }) => error === undefined).map(({ hook }) => hook)],
      untold: known.untold.filter((name) => !settled.some(({ hook }) => hook === name)),
    }
  }
}

/** Those that somebody does not have yet. */
export function unsettled<T extends Told>(all: readonly T[]): readonly T[] {
  const rest = all.filter(({ untold }) => untold.length > 0)
  return rest.length === all.length ? all : rest
}

function isDue({ attempts, triedMs }: Told, nowMs: number): boolean {
  const waitMs = attempts <= eagerMax ? 0 : Math.min(retryMaxMs, retryMs * 2 ** attempts)
  return nowMs >= triedMs + waitMs || nowMs < triedMs
}
