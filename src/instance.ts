// What an instance stands on: a database with its roles, a data folder with the log's keys and memory. Shared by
// `serve`, `init` and `migrate`.
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClientConfig, escapeIdentifier } from 'pg'
import { createTokenSecret } from './auth/token.ts'
import { type Config, ConfigError } from './config.ts'
import { createLog, hasLog } from './log/create.ts'
import { createKeys, type LogKeys, openKeys } from './log/log-keys.ts'
import { hashSecret } from './log/seal.ts'
import { openFileCell, type SignerCell } from './log/signer-cell.ts'
import type { Schema } from './store/batch.ts'
import { type Cluster, openCluster } from './store/embedded.ts'
import { type Migration, migrate } from './store/migrate.ts'
import { type LoginRole, loadOrCreateRoles, roleConfig, setRolePasswords } from './store/roles.ts'
import { readSecretFile, writeSecretFile } from './store/secret-file.ts'
import { openPool, type Pool } from './store/session.ts'
import { insertToken, type TokenRole } from './store/tokens.ts'

const migrationsFolder = join(import.meta.dirname, '..', '..', 'migrations')

/** Connections of the roles that a server needs. */
export type RoleConnections = {
  readonly writer: ClientConfig
  readonly reader: ClientConfig
  readonly signer: ClientConfig
  readonly state: ClientConfig
}

export type Database = {
  readonly connections: RoleConnections
  readonly schema: Schema
  /** The embedded server, where it is ours. */
  readonly cluster: Cluster | undefined
  readonly applied: readonly Migration[]
}

/** A log that exists, with its keys. */
export type Instance = {
  readonly origin: string
  readonly keys: LogKeys
  readonly cell: SignerCell
  /** Whether this call made the log. */
  readonly isNew: boolean
}

type Notify = (message: string) => void

/** Starts or finds the database, migrates it where an administrator's login is at hand, and opens the roles' logins. */
export async function openDatabase(config: Config, notify: Notify, signal?: AbortSignal): Promise<Database> {
  const schema = schemaNames(config)
  if (config.roleUrls !== undefined) {
    if (config.databaseUrl !== undefined) {
      throw new ConfigError('DATABASE_URL', "a server that has the roles' own logins never gets an administrator's")
    }
    return { connections: connectionsOfUrls(config.roleUrls), schema, cluster: undefined, applied: [] }
  }
  await mkdir(join(config.dataDir, 'keys'), { recursive: true, mode: 0o700 })
  const cluster =
    config.databaseUrl === undefined
      ? await openCluster({ dataDir: config.dataDir, binDir: config.pgBin }, signal)
      : undefined
  const admin: ClientConfig = cluster?.config ?? { connectionString: config.databaseUrl }
  try {
    const applied = await migrateDatabase(config, admin, notify)
    return { connections: await openRoles(config, admin, notify), schema, cluster, applied }
  } catch (error) {
    await cluster?.stop()
    throw error
  }
}

export function migrateDatabase(config: Config, admin: ClientConfig, notify: Notify): Promise<readonly Migration[]> {
  return migrate(admin, {
    directory: migrationsFolder,
    schema: config.schema,
    prefix: config.rolePrefix,
    log: notify,
  })
}

/** Opens the log of folder and database, or makes it where both are empty. One without the other is refused. */
export async function openInstance(config: Config, database: Database, nowMs: number): Promise<Instance> {
  const keysFolder = join(config.dataDir, 'keys')
  const writer = openPool(database.connections.writer, 1, 30_000)
  try {
    const found = await readLogFile(config)
    const isStored = await hasLog(writer.query, database.schema)
    if (found?.state === 'ready' && !isStored) throw new Error(onlyInFolder(config))
    if (found === undefined && isStored) throw new Error(onlyInDatabase(config))
    const isNew = found?.state !== 'ready'
    const origin = found?.origin ?? config.origin ?? `localhost/${randomBytes(4).toString('hex')}`
    if (config.origin !== undefined && config.origin !== origin) {
      throw new ConfigError(
        'DENDROLOG_ORIGIN',
        `the log in ${config.dataDir} is ${origin}; a log never changes its name`,
      )
    }
    const cell = openFileCell(config.signerState ?? join(config.dataDir, 'signer-state.json'))
    if (isNew) await createInstance(config, database, writer, origin, cell, nowMs)
    return { origin, keys: await openKeys(keysFolder, origin), cell, isNew }
  } finally {
    await writer.close()
  }
}

/** Tokens that a first start made, role by role. */
export type TokenFile = Readonly<Record<TokenRole, string>>

export function tokenFilePath(config: Config): string {
  return join(config.dataDir, 'tokens.json')
}

const tokenRoles: readonly TokenRole[] = ['writer', 'auditor', 'admin']

// Order: what is about to happen is noted first and marked as done last, each step may be repeated. So a crash in
// between is finished by the next start, and a folder without its database is still told from a new one.
async function createInstance(
  config: Config,
  database: Database,
  writer: Pool,
  origin: string,
  cell: SignerCell,
  nowMs: number,
): Promise<void> {
  await writeLogFile(config, { origin, state: 'creating' })
  await createKeys(join(config.dataDir, 'keys'), origin)
  const { signing, sealKey } = await openKeys(join(config.dataDir, 'keys'), origin)
  const signer = openPool(database.connections.signer, 1, 30_000)
  try {
    const { schema } = database
    await createLog({ origin, sealKey, keys: signing, cell, schema, writer: writer.query, signer: signer.query, nowMs })
  } finally {
    await signer.close()
  }
  await createTokens(config, database, sealKey)
  await writeLogFile(config, { origin, state: 'ready' })
}

async function createTokens(config: Config, database: Database, sealKey: Uint8Array): Promise<void> {
  if ((await readSecretFile(tokenFilePath(config))) !== undefined) return
  const secrets = Object.fromEntries(tokenRoles.map((role) => [role, createTokenSecret()])) as TokenFile
  const state = openPool(database.connections.state, 1, 30_000)
  try {
    for (const role of tokenRoles) {
      await insertToken(state.query, database.schema, hashSecret(sealKey, secrets[role]), { name: role, role })
    }
  } finally {
    await state.close()
  }
  await writeSecretFile(tokenFilePath(config), `${JSON.stringify(secrets, null, 2)}\n`)
}

async function openRoles(config: Config, admin: ClientConfig, notify: Notify): Promise<RoleConnections> {
  const passwords = await loadOrCreateRoles(join(config.dataDir, 'keys', 'roles.json'))
  await setRolePasswords(admin, config.rolePrefix, passwords, notify)
  const as = (role: LoginRole): ClientConfig => roleConfig(admin, config.rolePrefix, role, passwords)
  return {
    writer: as('app_writer_role'),
    reader: as('auditor_reader_role'),
    signer: as('checkpoint_signer_role'),
    state: as('app_state_role'),
  }
}

function connectionsOfUrls(urls: NonNullable<Config['roleUrls']>): RoleConnections {
  const { writer, reader, signer, state } = urls
  return {
    writer: { connectionString: writer },
    reader: { connectionString: reader },
    signer: { connectionString: signer },
    state: { connectionString: state },
  }
}

function schemaNames({ schema }: Config): Schema {
  return { evidence: escapeIdentifier(schema), state: escapeIdentifier(`${schema}_state`) }
}

type LogFile = { readonly origin: string; readonly state: 'creating' | 'ready' }

function logFilePath(config: Config): string {
  return join(config.dataDir, 'log.json')
}

async function readLogFile(config: Config): Promise<LogFile | undefined> {
  const text = await readSecretFile(logFilePath(config))
  if (text === undefined) return undefined
  const file: unknown = JSON.parse(text)
  const { origin, state } = file as Partial<LogFile>
  if (typeof origin === 'string' && (state === 'creating' || state === 'ready')) return { origin, state }
  throw new Error(`${logFilePath(config)}: not what dendrolog wrote`)
}

async function writeLogFile(config: Config, file: LogFile): Promise<void> {
  await writeSecretFile(logFilePath(config), `${JSON.stringify(file, null, 2)}\n`)
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
