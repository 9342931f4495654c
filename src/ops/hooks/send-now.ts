import { setTimeout as sleep } from 'node:timers/promises'
import { type Alarm, type Hook, HookFailure } from './hook.ts'

/** Who got an alarm; `error`: who did not, and why. */
export type SentAlarm = { readonly hook: string; readonly error: string | undefined }

/** Milliseconds before the attempts after the first. */
const pausesMs = [1_000, 5_000]

/**
 * Tells all hooks at once, each on its own and a few times, without a queue: for programs that have none, and for what
 * the queue cannot take. Never rejects. Ends within a minute, and soon after `signal` aborts.
 */
export function sendNow(
  hooks: readonly Hook[],
  alarm: Alarm,
  signal: AbortSignal,
  pauses: readonly number[] = pausesMs,
): Promise<readonly SentAlarm[]> {
  return Promise.all(hooks.map((hook) => sendTo(hook, alarm, signal, pauses)))
}

async function sendTo(hook: Hook, alarm: Alarm, signal: AbortSignal, pauses: readonly number[]): Promise<SentAlarm> {
  for (let attempt = 0; ; attempt++) {
    try {
      await hook.deliver(alarm, signal)
      return { hook: hook.name, error: undefined }
    } catch (error) {
      const pauseMs = pauses[attempt]
      const isLast = pauseMs === undefined || signal.aborted || (error instanceof HookFailure && error.isFinal)
      if (isLast) return { hook: hook.name, error: error instanceof Error ? error.message : String(error) }
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }
}
