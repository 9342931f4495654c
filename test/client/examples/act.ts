// Whether an entry that says what the log did itself was written by the log: its signature is in the payload.
import { openLogClient, readEntry } from 'dendrolog/client'
import { checkOwnAct, type OwnAct } from 'dendrolog/tlog'
import type { Settings } from './submit.ts'

/** Rejects with a TlogError where the entry is in the log but was not written by it, else as `readEntry`. */
export async function readAct(settings: Settings, place: number | string): Promise<OwnAct> {
  const log = openLogClient(settings)
  const { receipt } = await readEntry(log, place)
  const { entry } = JSON.parse(receipt)
  // The verifier is good for this one note: WebCrypto has verified it before it is asked.
  const verifier = await log.verifierOf(new TextEncoder().encode(entry.payload.signature))
  return checkOwnAct(entry, verifier)
}
