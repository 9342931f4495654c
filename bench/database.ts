// The embedded PostgreSQL without the server, with the settings that the server gives it.
import { join } from 'node:path'
import { type ClientConfig, escapeIdentifier } from 'pg'
import { withConnection, withDatabase } from '../src/store/administrator.ts'
import type { Schema } from '../src/store/batch.ts'
import { type Cluster, openCluster } from '../src/store/embedded.ts'
import { migrate } from '../src/store/migrate.ts'
import { createRolePasswords, roleConfig, setRolePasswords } from '../src/store/roles.ts'
import { removeFolder } from './run-folder.ts'

const migrations = join(import.meta.dirname, '..', '..', 'migrations')
const silent = (): void => {}

export const schema: Schema = { evidence: escapeIdentifier('security'), state: escapeIdentifier('security_state') }

/** Gives `work` a new cluster and removes it afterwards. */
export async function withCluster<T>(dataDir: string, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await openCluster({ dataDir })
  try {
    return await work(cluster)
  } finally {
    await cluster.stop()
    await removeFolder(dataDir)
  }
}

export type Ledger = { readonly admin: ClientConfig; readonly writer: ClientConfig }

/** A new migrated database of this name, and the writer's login. */
export async function makeLedger(cluster: Cluster, name: string): Promise<Ledger> {
  await withConnection(cluster.config, silent, (client) => client.query(`create database ${escapeIdentifier(name)}`))
  const admin = withDatabase(cluster.config, name)
  await migrate(admin, { directory: migrations, schema: 'security', prefix: '', log: silent })
  const passwords = createRolePasswords()
  await setRolePasswords(admin, '', passwords, silent)
  return { admin, writer: roleConfig(admin, '', 'app_writer_role', passwords) }
}

export async function dropDatabase(cluster: Cluster, name: string): Promise<void> {
  await withConnection(cluster.config, silent, (client) =>
    client.query(`drop database ${escapeIdentifier(name)} with (force)`),
  )
}
