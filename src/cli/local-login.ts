import { join, resolve } from 'node:path'
import type { ClientConfig } from 'pg'
import { type Config, ConfigError } from '../config.ts'
import { connectionsOfRoles, keysFolderOf, openDatabase, type RoleConnections } from '../instance.ts'
import { findRunningCluster, hasCluster, openCluster } from '../store/embedded.ts'
import { loadOrCreateRoles } from '../store/roles.ts'
import { readSecretFile } from '../store/secret-file.ts'

/**
 * Works with the login of a role: that of the settings, or the one whose password is in the data folder, whether or not
 * a server runs. An embedded PostgreSQL that is not running is started for it and stopped again.
 */
export async function withLocalLogin<T>(
  config: Config,
  role: keyof RoleConnections,
  signal: AbortSignal,
  work: (login: ClientConfig) => Promise<T>,
): Promise<T> {
  const { roleUrls, databaseUrl, dataDir } = config
  if (roleUrls !== undefined) return work({ connectionString: roleUrls[role] ?? roleUrls.reader })
  const admin = databaseUrl === undefined ? await findRunningCluster(dataDir) : { connectionString: databaseUrl }
  if (admin !== undefined) return work(await loginOf(config, role, admin))
  if (!(await hasCluster(dataDir))) {
    const wanted =
      'want the data folder of a server, DATABASE_URL, or the logins of the roles (DENDROLOG_READER_URL, …)'
    throw new ConfigError('DENDROLOG_DATA_DIR', `${resolve(dataDir)} holds no database; ${wanted}`)
  }
  if (role !== 'state') return withStartedCluster(config, role, signal, work)
  const database = await openDatabase(config, () => {}, signal)
  try {
    return await work(database.connections[role])
  } finally {
    await database.close()
  }
}

/** As it is: whoever checks a database neither migrates it nor refuses one that was tampered with. */
async function withStartedCluster<T>(
  config: Config,
  role: keyof RoleConnections,
  signal: AbortSignal,
  work: (login: ClientConfig) => Promise<T>,
): Promise<T> {
  const cluster = await openCluster({ dataDir: config.dataDir, binDir: config.pgBin }, signal)
  try {
    return await work(await loginOf(config, role, cluster.config))
  } finally {
    await cluster.stop()
  }
}

/** `admin` says where the database is; nobody logs in as that. */
async function loginOf(config: Config, role: keyof RoleConnections, admin: ClientConfig): Promise<ClientConfig> {
  const file = join(keysFolderOf(config), 'roles.json')
  if ((await readSecretFile(file)) === undefined) {
    throw new Error(`${file}: missing; set the logins of the roles instead of DATABASE_URL`)
  }
  return connectionsOfRoles(config, admin, await loadOrCreateRoles(file))[role]
}
