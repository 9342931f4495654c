// Many events, in batches, with what became of each.
import { type LogEvent, openLogClient, submitMany } from 'dendrolog/client'
import type { Settings } from './submit.ts'

/** Logs what a queue yields; `giveBack` takes what the server refuses for good. */
export async function drain(
  settings: Settings,
  queue: AsyncIterable<LogEvent>,
  giveBack: (event: LogEvent, reason: string) => void,
): Promise<number> {
  let logged = 0
  for await (const outcome of submitMany(openLogClient(settings), queue, { eventsMax: 500 })) {
    if (outcome.kind === 'logged') logged++
    else giveBack(outcome.event, `${outcome.code}: ${outcome.detail}`)
  }
  return logged
}
