/**
 * The server's own PostgreSQL, in its data folder. The postmaster outlives a server that dies; the next start adopts
 * it. Order of a first start: folder, lock, password, cluster beside its final name, rename, postmaster, database. A
 * crash between any two leaves what the next start finishes or makes anew.
 */
import { rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { type Binaries, findBinaries } from './embedded/binaries.ts'
import { ClusterError } from './embedded/cluster-error.ts'
import { type RunAs, runCommand } from './embedded/command.ts'
import {
  type DataFolder,
  dataFolderAt,
  give,
  makeDataFolder,
  makePrivateFolder,
  makeSocketFolder,
  openPassword,
  readClusterMajor,
  removeEmptyFolders,
} from './embedded/data-folder.ts'
import { lockFolder } from './embedded/folder-lock.ts'
import { adminUser, askPostmaster, type Postmaster, startOrAdopt, stopPostmaster } from './embedded/postmaster.ts'
import { chooseRunAs } from './embedded/run-as.ts'
import { clusterSettings } from './embedded/settings.ts'
import { syncFolder } from './secret-file.ts'

export interface ClusterOptions {
  /** Made if missing. The cluster is its `pg`, the superuser's password its `keys/pg-admin-password`. */
  readonly dataDir: string
  /** Folder of initdb, pg_ctl and postgres; without it the npm package's, else the system's. */
  readonly binDir?: string | undefined
  /** Over those of settings.ts. Only for a new postmaster: an adopted one keeps its own. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface Cluster {
  /** The superuser's connection to database `dendrolog`, over the Unix socket in `host`. */
  readonly config: ClientConfig
  /** As `postgres --version` says it. */
  readonly version: string
  readonly startedAs: 'created' | 'started' | 'adopted'
  /**
   * Resolves when PostgreSQL answers: at once where it runs, else after waiting for its recovery or starting it again.
   * Where it stays down for some 40 tries this throws ClusterError and may be called again. Ends early, without an
   * error, when `signal` aborts or the cluster is being stopped. One call at a time.
   */
  ensureRunning(signal: AbortSignal): Promise<void>
  /** Stops PostgreSQL, waits for it, and frees the folder. Further calls do nothing. */
  stop(): Promise<void>
}

const databaseName = 'dendrolog'
const initSeconds = 300
const queryMs = 60_000

/**
 * Makes a data folder (0711, its `keys` 0700) and takes it for this process, until the result is called or the process
 * ends. What was made and stayed empty is removed then. Throws ClusterError, naming the folder, if another process has it.
 */
export async function claimDataFolder(dataDir: string): Promise<() => Promise<void>> {
  const folder = dataFolderAt(resolve(dataDir))
  const made = await makeDataFolder(folder)
  const unlock = await lockFolder(folder.dir)
  return async () => {
    // `keys` while nobody else may write there; what is around it when a lock that is a file is gone from it.
    await removeEmptyFolders(made.filter((dir) => dir === folder.keys))
    await unlock()
    await removeEmptyFolders(made.filter((dir) => dir !== folder.keys))
  }
}

/**
 * Makes, starts or adopts the cluster of a data folder, which is this process's until `stop` or its end.
 * Throws ClusterError, naming the folder, if another process has it, or PostgreSQL cannot run or start.
 */
export async function openCluster(options: ClusterOptions, signal?: AbortSignal): Promise<Cluster> {
  const unlock = await claimDataFolder(options.dataDir)
  try {
    return await openLocked(dataFolderAt(resolve(options.dataDir)), options, unlock, signal)
  } catch (error) {
    await unlock()
    throw error
  }
}

/** Whether a data folder has a cluster, running or not. */
export async function hasCluster(dataDir: string): Promise<boolean> {
  return (await readClusterMajor(dataFolderAt(resolve(dataDir)))) !== undefined
}

/**
 * The superuser's connection to the cluster of a data folder, which may be another process's; undefined where there is
 * none or none answers. Changes nothing. Throws ClusterError where it refuses the folder's password.
 */
export async function findRunningCluster(dataDir: string): Promise<ClientConfig | undefined> {
  const folder = dataFolderAt(resolve(dataDir))
  if ((await readClusterMajor(folder)) === undefined) return undefined
  const answer = await askPostmaster({ folder, password: await openPassword(folder, true) })
  return answer.kind === 'up' ? { ...answer.config, database: databaseName } : undefined
}

async function openLocked(
  folder: DataFolder,
  options: ClusterOptions,
  unlock: () => Promise<void>,
  signal?: AbortSignal,
): Promise<Cluster> {
  const major = await readClusterMajor(folder)
  const runAs = await chooseRunAs(folder.dir, folder.pg)
  const binaries = await findClusterBinaries(folder, options, major, runAs)
  const password = await openPassword(folder, major !== undefined)
  if (major === undefined) await createCluster(folder, binaries, runAs, password, signal)
  const socketDir = await makeSocketFolder(folder, runAs)
  const settings = { ...clusterSettings, ...options.settings }
  const postmaster: Postmaster = { folder, binaries, runAs, password, socketDir, settings }
  const { config, startedAs } = await startDatabase(postmaster, signal)
  const stopped = new AbortController()
  let reviving: Promise<void> = Promise.resolve()
  let stopping: Promise<void> | undefined
  const ensureRunning = (signal: AbortSignal): Promise<void> => {
    reviving = revive(postmaster, AbortSignal.any([signal, stopped.signal]))
    return reviving
  }
  const stop = (): Promise<void> => {
    stopped.abort()
    // What is being revived must not come up after it was stopped.
    stopping ??= reviving
      .catch(() => {})
      .then(() => stopPostmaster(postmaster))
      .then(() => rm(socketDir, { recursive: true, force: true }))
      .finally(unlock)
    return stopping
  }
  const { version } = binaries
  return { config, version, startedAs: major === undefined ? 'created' : startedAs, ensureRunning, stop }
}

async function revive(postmaster: Postmaster, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  try {
    // Somebody who tidies the folder for temporary files may have taken the socket's along.
    await makeSocketFolder(postmaster.folder, postmaster.runAs)
    await startOrAdopt(postmaster, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function findClusterBinaries(
  folder: DataFolder,
  options: ClusterOptions,
  major: number | undefined,
  runAs: RunAs,
): Promise<Binaries> {
  try {
    return await findBinaries({ binDir: options.binDir, major, copyDir: folder.copies, runAs })
  } catch (cause) {
    if (!(cause instanceof ClusterError)) throw cause
    const made =
      major === undefined ? '' : `was made by PostgreSQL ${major}, and a cluster needs its own major version: `
    throw new ClusterError(`${folder.pg}: ${made}${cause.message}`, { cause })
  }
}

async function createCluster(
  folder: DataFolder,
  binaries: Binaries,
  runAs: RunAs,
  password: string,
  signal?: AbortSignal,
): Promise<void> {
  const passwordCopy = `${folder.unfinished}.password`
  await makePrivateFolder(folder.unfinished, runAs)
  try {
    await rm(passwordCopy, { force: true })
    await writeFile(passwordCopy, password, { mode: 0o600, flag: 'wx' })
    await give(passwordCopy, runAs)
    const args = initArguments(folder.unfinished, passwordCopy, binaries.major)
    const result = await runCommand(runAs, join(binaries.dir, 'initdb'), args, initSeconds * 1000, signal)
    signal?.throwIfAborted()
    if (result.status !== 0) throw new ClusterError(`${folder.pg}: initdb failed: ${result.output.trim().slice(-1000)}`)
  } finally {
    await rm(passwordCopy, { force: true })
  }
  await rename(folder.unfinished, folder.pg).catch((cause: Error) => {
    throw new ClusterError(`${folder.pg}: has files but no PG_VERSION; move it away to start anew`, { cause })
  })
  await syncFolder(folder.dir)
}

/** Strings compare by bytes everywhere: an index must not depend on the host's collation library. */
function initArguments(dir: string, passwordFile: string, major: number): readonly string[] {
  const locale = major >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []
  return [
    `--pgdata=${dir}`,
    `--username=${adminUser}`,
    `--pwfile=${passwordFile}`,
    '--auth-local=scram-sha-256',
    '--auth-host=scram-sha-256',
    '--data-checksums',
    '--encoding=UTF8',
    '--locale=C',
    ...locale,
  ]
}

async function startDatabase(
  postmaster: Postmaster,
  signal?: AbortSignal,
): Promise<{ config: ClientConfig; startedAs: 'started' | 'adopted' }> {
  const { config, startedAs } = await startOrAdopt(postmaster, signal)
  try {
    await ensureDatabase(config)
  } catch (error) {
    if (startedAs === 'started') await stopPostmaster(postmaster)
    throw error
  }
  return { config: { ...config, database: databaseName }, startedAs }
}

async function ensureDatabase(config: ClientConfig): Promise<void> {
  const client = new Client({ ...config, query_timeout: queryMs })
  client.on('error', () => {})
  await client.connect()
  try {
    const found = await client.query('select from pg_catalog.pg_database where datname = $1', [databaseName])
    if (found.rowCount === 0) await client.query(`create database ${databaseName}`)
  } finally {
    await client.end()
  }
}
