// One event, and the receipt that proves it to whoever has the log's key.
import { type LogEvent, openLogClient, Refused, submit, Unavailable, withEventId } from 'dendrolog/client'

export type Settings = { readonly url: string; readonly vkey: string; readonly token: string }

/** Logs a download. `keep` stores what must not be lost: the event before it is sent, the receipt afterwards. */
export async function logDownload(settings: Settings, user: string, keep: (text: string) => void): Promise<string> {
  const log = openLogClient(settings)
  const event: LogEvent = { actorId: user, action: 'report.download', resource: 'report/7', payload: { pages: 12 } }
  // With its id it can be sent again after a crash, and is still one entry.
  const identified = withEventId(event)
  keep(JSON.stringify(identified))
  try {
    const { receipt, proved } = await submit(log, identified)
    keep(receipt)
    return `entry ${proved.fields.sequenceNumber} of ${proved.checkpoint.origin}`
  } catch (error) {
    if (error instanceof Refused) return `will never be logged: ${error.code} at ${error.pointer}: ${error.detail}`
    if (error instanceof Unavailable) return `later: ${error.unsettled.length} event may or may not be logged`
    throw error
  }
}
