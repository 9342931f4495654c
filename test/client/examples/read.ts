// Reads an entry and believes it only because the log's signature covers it. Offline, the receipt says the same.
import { openLogClient, readEntry, Violation } from 'dendrolog/client'
import type { Settings } from './submit.ts'

export async function whoDidIt(settings: Settings, place: number | string): Promise<string> {
  try {
    const { proved, payload } = await readEntry(openLogClient(settings), place)
    const { actorId, action, resource } = proved.fields
    return `${actorId} did ${action} on ${resource}: ${JSON.stringify(payload)}`
  } catch (error) {
    if (error instanceof Violation) return `the server shows what the log never signed: ${error.message}`
    throw error
  }
}
