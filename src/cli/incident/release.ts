import type { ClientConfig } from 'pg'
import { type Config, ConfigError } from '../../config.ts'
import { readAllContained } from '../../incident/containment-record.ts'
import { clearHolds, type Holds, readHolds } from '../../incident/holds.ts'
import type { IncidentOffice } from '../../incident/incident-office.ts'
import { expectedLogin } from '../../instance.ts'
import { findRunningCluster } from '../../store/embedded.ts'
import { unlockWriter } from '../../store/writer-lock.ts'
import { printJson, printLine, visibleText } from '../command.ts'
import { localIdentity } from '../local-state.ts'

/** Lets go on what containment stopped. It is told first: what cannot be told is not done. */
export async function releaseHolds(config: Config, office: IncidentOffice, asJson: boolean): Promise<void> {
  const { dataDir } = config
  const holds = await readHolds(dataDir)
  const admin = holds.writer === undefined ? undefined : await findAdministrator(config)
  if (Object.keys(holds).length > 0) {
    await office.tellReleased(holds, localIdentity())
    if (admin !== undefined) await unlockWriter(admin, expectedLogin(config, 'writer').role)
    await clearHolds(dataDir)
  }
  const lasting = (await readAllContained(dataDir)).filter(({ measure }) => measure === 'revoke-writers')
  if (asJson) return printJson({ released: holds, lasting })
  sayReleased(holds)
  for (const { at, detail } of lasting) {
    printLine(`stays, make other tokens where they are needed (${at}): ${visibleText(detail)}`)
  }
}

function sayReleased({ publishing, writer }: Holds): void {
  if (publishing === undefined && writer === undefined) printLine('nothing is stopped')
  if (publishing !== undefined) printLine(`checkpoints are signed again: stopped by incident ${publishing.incident}`)
  if (writer !== undefined) printLine(`the writer may log in again: locked by incident ${writer.incident}`)
}

/** Who may change roles: of the embedded server, which runs while this does, its superuser. */
async function findAdministrator({ databaseUrl, dataDir }: Config): Promise<ClientConfig> {
  if (databaseUrl !== undefined) return { connectionString: databaseUrl }
  const found = await findRunningCluster(dataDir)
  if (found !== undefined) return found
  throw new ConfigError(
    'DATABASE_URL',
    "is missing: the writer's login is locked, and only an administrator unlocks it",
  )
}
