// What an instance stands on: a database with its roles, a data folder with the log's keys and memory. Shared by
// `serve`, `init` and `migrate`.
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { type ClientConfig, escapeIdentifier } from 'pg'
import { type Config, ConfigError } from './config.ts'
import { readHolds } from './incident/holds.ts'
import { openCell } from './log/cell-place.ts'
import { hasLog } from './log/create.ts'
import { LogEnded } from './log/ending.ts'
import { type LogFile, readLogFile } from './log/log-file.ts'
import { type LogKeys, openKeys } from './log/log-keys.ts'
import type { OpenedCell } from './log/signer-cell.ts'
import { createInstance } from './new-instance.ts'
import { type Unlock, unlockBy } from './ops/passphrase.ts'
import { cellPlaceOf, checkCellPlace, noMemory } from './signer-state.ts'
import type { Schema } from './store/batch.ts'
import { readUnsafeSettings } from './store/durability.ts'
import { type Cluster, claimDataFolder, openCluster } from './store/embedded.ts'
import { hasTreeHeads } from './store/heads.ts'
import { type ExpectedLogin, readLoginProblem } from './store/logins.ts'
import { type Migration, migrate } from './store/migrate.ts'
import { claimRoles, isSamePlace, type RoleOwner, readRoleOwner } from './store/role-owner.ts'
import {
  acceptsRolePasswords,
  type LoginRole,
  loadOrCreateRoles,
  loginRoles,
  type RolePasswords,
  readDatabasesOfRoles,
  roleConfig,
  setRolePasswords,
} from './store/roles.ts'
import { readSecretFile, removeUnfinished } from './store/secret-file.ts'
import { openPool, type Query } from './store/session.ts'

export const migrationsFolder: string = join(import.meta.dirname, '..', '..', 'migrations')

/** Connections of the roles that a server needs. */
export type RoleConnections = {
  readonly writer: ClientConfig
  readonly reader: ClientConfig
  readonly signer: ClientConfig
  readonly state: ClientConfig
  /** The reader's where none is given. */
  readonly verifier: ClientConfig
}

export type Database = {
  readonly connections: RoleConnections
  readonly schema: Schema
  /** The embedded server, where it is ours. */
  readonly cluster: Cluster | undefined
  readonly applied: readonly Migration[]
  /** Stops the embedded server, where it is ours, and frees the data folder. Further calls do nothing. */
  readonly close: () => Promise<void>
}

/** A log that exists, with its keys. */
export type Instance = {
  readonly origin: string
  readonly keys: LogKeys
  readonly cell: OpenedCell
  /** Whether this call made the log. */
  readonly isNew: boolean
}

type Notify = (message: string) => void

/**
 * Takes the data folder, starts or finds the database, migrates it where an administrator's login is at hand, and opens
 * the roles' logins. Throws where another process has the folder, or where folder and database are not of one log:
 * before anything of the database is changed.
 */
export async function openDatabase(config: Config, notify: Notify, signal?: AbortSignal): Promise<Database> {
  const { roleUrls, databaseUrl } = config
  if (roleUrls !== undefined && databaseUrl !== undefined) {
    throw new ConfigError('DATABASE_URL', "a server that has the roles' own logins never gets an administrator's")
  }
  if (roleUrls === undefined && databaseUrl === undefined) return openEmbedded(config, notify, signal)
  const close = once(await claimDataFolder(config.dataDir))
  try {
    const base = { schema: schemaNames(config), cluster: undefined, close }
    if (roleUrls !== undefined) return { ...base, connections: await openLogins(config, roleUrls), applied: [] }
    const admin = { connectionString: databaseUrl }
    await withPool(admin, (query) => checkDurable(config, query))
    return { ...base, ...(await prepareDatabase(config, admin, notify)) }
  } catch (error) {
    await close()
    throw error
  }
}

async function openEmbedded(config: Config, notify: Notify, signal?: AbortSignal): Promise<Database> {
  const cluster = await openCluster({ dataDir: config.dataDir, binDir: config.pgBin }, signal)
  try {
    const prepared = await prepareDatabase(config, cluster.config, notify)
    return { ...prepared, schema: schemaNames(config), cluster, close: () => cluster.stop() }
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

function once(free: () => Promise<void>): () => Promise<void> {
  let freed: Promise<void> | undefined
  return () => {
    freed ??= free()
    return freed
  }
}

async function prepareDatabase(
  config: Config,
  admin: ClientConfig,
  notify: Notify,
): Promise<Pick<Database, 'applied' | 'connections'>> {
  await checkSameLog(config, admin)
  const passwords = await loadOrCreateRoles(join(keysFolderOf(config), 'roles.json'))
  // Whom containment locked must not log in because of a restart.
  const { writer: locked } = await readHolds(config.dataDir)
  const roles = loginRoles.filter((role) => locked === undefined || role !== 'app_writer_role')
  const areSet = await acceptsRolePasswords(admin, config.rolePrefix, passwords, roles)
  if (!areSet) await checkRolesFree(config, admin)
  const applied = await migrateDatabase(config, admin, notify)
  if (!areSet) await setRolePasswords(admin, config.rolePrefix, passwords, notify, roles)
  return { applied, connections: connectionsOfRoles(config, admin, passwords) }
}

/** A server with another folder must not touch a log's database: it would change the passwords of its roles. */
function checkSameLog(config: Config, admin: ClientConfig): Promise<void> {
  return withPool(admin, async (query) => {
    refuseHalves(config, await readLogFile(config.dataDir), await hasTreeHeads(query, schemaNames(config)))
  })
}

export async function withPool<T>(connection: ClientConfig, work: (query: Query) => Promise<T>): Promise<T> {
  const pool = openPool(connection, 1, 30_000)
  try {
    return await work(pool.query)
  } finally {
    await pool.close()
  }
}

function refuseHalves(config: Config, found: LogFile | undefined, isStored: boolean): void {
  if (found?.state === 'ready' && !isStored) throw new Error(onlyInFolder(config))
  if (found === undefined && isStored) throw new Error(onlyInDatabase(config))
}

/** Throws where the roles are another log's, before anything is changed. `admin` is an administrator's login. */
export async function migrateDatabase(
  config: Config,
  admin: ClientConfig,
  notify: Notify,
): Promise<readonly Migration[]> {
  const { schema, rolePrefix: prefix } = config
  refuseOthersRoles(await readRoleOwner(admin, prefix, schema))
  const applied = await migrate(admin, { directory: migrationsFolder, schema, prefix, log: notify })
  refuseOthersRoles(await claimRoles(admin, prefix, schema, notify))
  return applied
}

/** Opens the log of folder and database, or makes it where both are empty. One without the other is refused. */
export async function openInstance(config: Config, database: Database, nowMs: number): Promise<Instance> {
  const [keysFolder, unlock] = [keysFolderOf(config), unlockOf(config)]
  const writer = openPool(database.connections.writer, 1, 30_000)
  try {
    const place = cellPlaceOf(config)
    const written = [config.dataDir, keysFolder, ...(place.kind === 'file' ? [dirname(place.path)] : [])]
    for (const folder of written) await removeUnfinished(folder)
    const found = await readLogFile(config.dataDir)
    refuseHalves(config, found, await hasLog(writer.query, database.schema))
    if (found?.state === 'ended') throw new ConfigError('DENDROLOG_DATA_DIR', new LogEnded(found.ending).message)
    const isNew = found?.state !== 'ready'
    // The server needs none of it; where others read it they are administrators.
    await readSecretFile(tokenFilePath(config))
    const origin = found?.origin ?? config.origin ?? `localhost/${randomBytes(4).toString('hex')}`
    if (config.origin !== undefined && config.origin !== origin) {
      throw new ConfigError(
        'DENDROLOG_ORIGIN',
        `the log in ${config.dataDir} is ${origin}; a log never changes its name`,
      )
    }
    await checkCellPlace(config, place, writer.query)
    const cell = openCell(place, origin)
    if (isNew) {
      await cell.prepare()
      const keyPlaces = { note: config.noteKey, sth: config.sthKey }
      const folders = { dataDir: config.dataDir, keys: keysFolder, tokens: tokenFilePath(config), unlock, keyPlaces }
      const succeeds = found?.state === 'creating' ? found.succeeds : undefined
      await createInstance({ folders, database, writer: writer.query, origin, cell, nowMs, succeeds })
    }
    if ((await cell.read()) === undefined) throw new ConfigError('DENDROLOG_SIGNER_STATE', noMemory(place))
    return { origin, keys: await openKeys(keysFolder, origin, unlock), cell, isNew }
  } finally {
    await writer.close()
  }
}

/** Of the key files of the settings. */
export function unlockOf({ passphraseCommand }: Pick<Config, 'passphraseCommand'>): Unlock {
  return unlockBy(passphraseCommand)
}

export function keysFolderOf({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, 'keys')
}

/** Where the keys of a log are when it was ended: nobody signs with them any more. */
export function endedKeysFolderOf(config: Pick<Config, 'dataDir'>): string {
  return join(keysFolderOf(config), 'ended')
}

export function tokenFilePath(config: Config): string {
  return join(config.dataDir, 'tokens.json')
}

export function connectionsOfRoles(config: Config, admin: ClientConfig, passwords: RolePasswords): RoleConnections {
  const as = (name: keyof RoleConnections): ClientConfig =>
    roleConfig(admin, config.rolePrefix, logins[name].role, passwords)
  return {
    writer: as('writer'),
    reader: as('reader'),
    signer: as('signer'),
    state: as('state'),
    verifier: as('verifier'),
  }
}

const anotherPrefix = 'set another prefix for this log'

/** Roles are the server's, not a database's: a log that took those of another would change their passwords. */
function refuseOthersRoles({ here, owner }: RoleOwner): void {
  if (owner === undefined || isSamePlace(here, owner)) return
  const place = `the log in schema ${owner.schema} of database ${owner.database}`
  throw new ConfigError(
    'DENDROLOG_ROLE_PREFIX',
    `${place} of this server has the roles of these names; ${anotherPrefix}`,
  )
}

/** For roles that our passwords do not open: whoever is logged in as one of them runs a log with other passwords. */
async function checkRolesFree(config: Config, admin: ClientConfig): Promise<void> {
  const found = await readRoleOwner(admin, config.rolePrefix, config.schema)
  refuseOthersRoles(found)
  const [taken] = await readDatabasesOfRoles(admin, config.rolePrefix)
  if (taken !== undefined) {
    const reason = `a log in database ${taken} of this server is running with roles of the same names; ${anotherPrefix}`
    throw new ConfigError('DENDROLOG_ROLE_PREFIX', reason)
  }
  if (found.owner !== undefined || !found.mayLogIn) return
  throw new ConfigError(
    'DENDROLOG_ROLE_PREFIX',
    `roles of these names log in on this server already, and do not say for which log; ${anotherPrefix}, or, if they ` +
      'are for this one, let `dendrolog migrate` mark them first',
  )
}

/** Role and setting of each login. */
const logins = {
  writer: { role: 'app_writer_role', setting: 'DENDROLOG_WRITER_URL' },
  reader: { role: 'auditor_reader_role', setting: 'DENDROLOG_READER_URL' },
  signer: { role: 'checkpoint_signer_role', setting: 'DENDROLOG_SIGNER_URL' },
  state: { role: 'app_state_role', setting: 'DENDROLOG_STATE_URL' },
  verifier: { role: 'verifier_role', setting: 'DENDROLOG_VERIFIER_URL' },
} as const satisfies Record<keyof RoleConnections, { role: LoginRole; setting: string }>

/** What the login of a connection must be. */
export function expectedLogin({ rolePrefix, schema }: Config, name: keyof RoleConnections): ExpectedLogin {
  return { role: rolePrefix + logins[name].role, schema: name === 'state' ? `${schema}_state` : schema }
}

/** Each login is tried, so that a wrong one stops the start and not, hours later, what needs it. */
export async function openLogins(config: Config, urls: NonNullable<Config['roleUrls']>): Promise<RoleConnections> {
  const names = [
    'writer',
    'reader',
    'signer',
    'state',
    ...(urls.verifier === undefined ? [] : ['verifier' as const]),
  ] as const
  for (const name of names) {
    const { setting } = logins[name]
    const login = { connectionString: urls[name] }
    const problem = await withPool(login, (query) => readLoginProblem(query, expectedLogin(config, name))).catch(
      (cause: Error) => {
        throw new ConfigError(setting, cause.message, { cause })
      },
    )
    if (problem !== undefined) throw new ConfigError(setting, problem)
    await withPool(login, (query) => checkDurable(config, query))
  }
  const { writer, reader, signer, state, verifier = reader } = urls
  const of = (connectionString: string): ClientConfig => ({ connectionString })
  return { writer: of(writer), reader: of(reader), signer: of(signer), state: of(state), verifier: of(verifier) }
}

async function checkDurable(config: Config, query: Query): Promise<void> {
  const unsafe = await readUnsafeSettings(query)
  if (unsafe.length === 0 || config.allowUnsafeDatabase) return
  throw new ConfigError(
    'DENDROLOG_ALLOW_UNSAFE_DATABASE',
    `the database has ${unsafe.join(' and ')}: a power cut could lose what was answered as logged. Switch it on there, ` +
      'or set this to true where losing entries does not matter',
  )
}

export function schemaNames({ schema }: Config): Schema {
  return { evidence: escapeIdentifier(schema), state: escapeIdentifier(`${schema}_state`) }
}

function onlyInFolder(config: Config): string {
  return (
    `${config.dataDir} holds the keys of a log, but the database holds none: it is not this log's database, or it ` +
    'was emptied. Point DATABASE_URL at the right one, or use another DENDROLOG_DATA_DIR to begin a new log'
  )
}

function onlyInDatabase(config: Config): string {
  return (
    `the database holds a log, but ${config.dataDir} has not its keys and its memory. Set DENDROLOG_DATA_DIR to the ` +
    'folder that was used so far, or use another database to begin a new log'
  )
}
