import type { Config } from '../../config.ts'
import { readAllContained } from '../../incident/containment-record.ts'
import { clearHolds, readHolds } from '../../incident/holds.ts'
import type { IncidentOffice } from '../../incident/incident-office.ts'
import { printJson, printLine, visibleText } from '../command.ts'
import { localIdentity } from '../local-state.ts'

/** Lets go on what containment stopped. It is told first: what cannot be told is not done. */
export async function releaseHolds(config: Config, office: IncidentOffice, asJson: boolean): Promise<void> {
  const { dataDir } = config
  const holds = await readHolds(dataDir)
  const { publishing } = holds
  if (publishing !== undefined) {
    await office.tellReleased(holds, localIdentity())
    await clearHolds(dataDir)
  }
  const lasting = (await readAllContained(dataDir)).filter(({ measure }) => measure === 'revoke-writers')
  if (asJson) return printJson({ released: holds, lasting })
  if (publishing === undefined) printLine('nothing is stopped')
  else printLine(`checkpoints are signed again: they were not since incident ${publishing.incident}`)
  for (const { at, detail } of lasting) {
    printLine(`stays, make other tokens where they are needed (${at}): ${visibleText(detail)}`)
  }
}
