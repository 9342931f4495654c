/** Starting, finding and stopping the postmaster of a data folder. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type ClientConfig } from 'pg'
import type { Binaries } from './binaries.ts'
import { ClusterError } from './cluster-error.ts'
import { type CommandResult, type RunAs, runCommand } from './command.ts'
import { type DataFolder, openLog, readLogTail } from './data-folder.ts'
import { formatServerOptions } from './settings.ts'
import { removeStaleLocks } from './stale-locks.ts'

/** All that it takes to control the postmaster of one folder. */
export interface Postmaster {
  readonly folder: DataFolder
  readonly binaries: Binaries
  readonly runAs: RunAs
  readonly password: string
  /** For the socket of a new postmaster; one that runs already says where its own is. */
  readonly socketDir: string
  readonly settings: Readonly<Record<string, string>>
}

export interface Running {
  readonly config: ClientConfig
  readonly startedAs: 'started' | 'adopted'
}

// pg_ctl waits this long; after it the postmaster may still be recovering, which a connection tells.
const startSeconds = 60
const stopSeconds = 120
// After a kill -9 the old backends hold the shared memory for 1.7 to 2.0 s, 7 or 8 tries; on a busy machine 5 s. These take 15 s.
const failedStartsMax = 40
const retryPauseMs = 250
// 4 GB of WAL to replay on a slow disk, and a large margin.
const recoveryMs = 15 * 60_000
const connectMs = 5_000

export const adminUser = 'dendrolog_admin'

/**
 * Adopts the folder's running postmaster, if a query gets through to it, else starts one. A process id alone proves
 * nothing: pg_ctl calls a killed, not yet reaped postmaster running. What it started it stops again if it fails.
 */
export async function startOrAdopt(postmaster: Postmaster, signal?: AbortSignal): Promise<Running> {
  const first = await askPostmaster(postmaster)
  if (first.kind === 'up') return { config: first.config, startedAs: 'adopted' }
  try {
    return { config: await startAndWait(postmaster, signal), startedAs: 'started' }
  } catch (error) {
    // The reason why it did not start is what the caller needs, not that it could not be stopped either.
    await stopPostmaster(postmaster).catch(() => {})
    throw error
  }
}

async function startAndWait(postmaster: Postmaster, signal?: AbortSignal): Promise<ClientConfig> {
  const deadline = performance.now() + recoveryMs
  let failures = 0
  while (performance.now() < deadline) {
    signal?.throwIfAborted()
    const answer = await askPostmaster(postmaster)
    if (answer.kind === 'up') return answer.config
    if (answer.kind === 'down') {
      const result = await launch(postmaster, signal)
      if (result.status === 0) continue
      failures += 1
      if (failures >= failedStartsMax) throw await failed(postmaster, 'does not start', result)
    }
    await sleep(retryPauseMs, undefined, signal === undefined ? {} : { signal })
  }
  throw await failed(postmaster, `still not ready after ${recoveryMs / 60_000} minutes`)
}

/** Ends sessions and postmaster, and waits for the shutdown checkpoint. Nothing to do if it does not run. */
export async function stopPostmaster(postmaster: Postmaster): Promise<void> {
  const args = ['stop', '-D', postmaster.folder.pg, '-m', 'fast', '-w', '-t', String(stopSeconds)]
  const result = await pgCtl(postmaster, args, stopSeconds)
  if (result.status === 0) return
  const state = await pgCtl(postmaster, ['status', '-D', postmaster.folder.pg], connectMs / 1000)
  // 3: no server running (PostgreSQL documentation, pg_ctl).
  if (state.status !== 3) throw await failed(postmaster, 'does not stop', result)
}

export type Answer = { kind: 'up'; config: ClientConfig } | { kind: 'starting' } | { kind: 'down' }

/** Whether a query gets through to the folder's postmaster. Throws ClusterError where it refuses the password. */
export async function askPostmaster(postmaster: Pick<Postmaster, 'folder' | 'password'>): Promise<Answer> {
  const socketDir = await readSocketDir(postmaster.folder)
  if (socketDir === undefined) return { kind: 'down' }
  const config = { host: socketDir, port: 5432, user: adminUser, password: postmaster.password, database: 'postgres' }
  const client = new Client({ ...config, connectionTimeoutMillis: connectMs, query_timeout: connectMs })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
    return { kind: 'up', config }
  } catch (cause) {
    return classify(postmaster, cause)
  } finally {
    await client.end().catch(() => {})
  }
}

/** 57P03: starting up, recovering or shutting down. No SQLSTATE: nobody there, or it does not answer. */
function classify({ folder }: Pick<Postmaster, 'folder'>, cause: unknown): Answer {
  const code = (cause as { code?: string }).code
  if (code === '57P03') return { kind: 'starting' }
  if (code === '28P01' || code === '28000') {
    const reason = `does not accept the password in ${folder.passwordFile}; restore that file`
    throw new ClusterError(`${folder.pg}: the running PostgreSQL ${reason}`, { cause })
  }
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code)) {
    throw new ClusterError(`${folder.pg}: the running PostgreSQL refuses: ${(cause as Error).message}`, { cause })
  }
  return { kind: 'down' }
}

/** Line 5 of postmaster.pid (PostgreSQL documentation, 66.1). The file outlives a killed postmaster. */
async function readSocketDir({ pg }: DataFolder): Promise<string | undefined> {
  const text = await readFile(join(pg, 'postmaster.pid'), 'utf8').catch(() => '')
  return text.split('\n')[4] || undefined
}

async function launch(postmaster: Postmaster, signal?: AbortSignal): Promise<CommandResult> {
  const { folder, runAs, settings, socketDir } = postmaster
  await openLog(folder, runAs)
  await removeStaleLocks(folder.pg, socketDir)
  const options = formatServerOptions(settings, socketDir)
  const args = ['start', '-D', folder.pg, '-w', '-t', String(startSeconds), '-l', folder.log, '-o', options]
  return pgCtl(postmaster, args, startSeconds, signal)
}

function pgCtl(
  { binaries, runAs }: Postmaster,
  args: readonly string[],
  seconds: number,
  signal?: AbortSignal,
): Promise<CommandResult> {
  return runCommand(runAs, join(binaries.dir, 'pg_ctl'), args, (seconds + 10) * 1000, signal)
}

async function failed({ folder }: Postmaster, what: string, result?: CommandResult): Promise<ClusterError> {
  const said = result === undefined ? '' : ` (${result.output.trim()})`
  return new ClusterError(`PostgreSQL in ${folder.pg} ${what}${said}; ${await readLogTail(folder)}`)
}
