import { UsageError } from './command.ts'
import { readDuration } from './duration.ts'

/** When something is done again. */
export type Schedule = {
  /** Milliseconds since 1970, after `nowMs`. */
  readonly next: (nowMs: number) => number
}

/** A time like 10m, or cron's five fields in the host's time zone. UsageError that names the option of anything else. */
export async function readSchedule(option: string, text: string): Promise<Schedule> {
  if (!/\s/.test(text.trim())) {
    const everyMs = readDuration(option, text)
    return { next: (nowMs) => nowMs + everyMs }
  }
  const { Cron } = await import('croner')
  try {
    const cron = new Cron(text, { mode: '5-part', paused: true })
    const first = cron.nextRun(new Date(0))
    if (first === null) throw new Error('it never comes')
    return { next: (nowMs) => cron.nextRun(new Date(nowMs))?.getTime() ?? Number.POSITIVE_INFINITY }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UsageError(`${option}: want a time like 10m, or the five fields of cron: ${reason}`)
  }
}
