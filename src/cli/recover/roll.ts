import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Config } from '../../config.ts'
import { type Database, keysFolderOf, openDatabase, schemaNames, unlockOf, withPool } from '../../instance.ts'
import { openCell } from '../../log/cell-place.ts'
import { readLogFile } from '../../log/log-file.ts'
import { openKeys } from '../../log/log-keys.ts'
import { type RolledForward, type RollOptions, rollForward } from '../../log/roll-forward.ts'
import { CannotRecover, databaseSource, type RollSource } from '../../log/roll-source.ts'
import { waitForLock } from '../../log/standby.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { cellPlaceOf } from '../../signer-state.ts'
import { openReadSession, type ReadConfig } from '../../store/copy-out.ts'
import { openCluster } from '../../store/embedded.ts'
import { lockIdleTimeoutMs } from '../../store/log-lock.ts'
import { openSession, type Session } from '../../store/session.ts'

export type RollRequest = {
  /** URL of a database, or a data folder; undefined where there is none. */
  readonly from: string | undefined
  readonly isTrial: boolean
  readonly onProgress: (size: number, of: number) => void
}

/** Whoever is read from may be slow. */
const idleTimeoutMs = 600_000
/** Of a server that was killed the lock is free after this time. */
const lockWaitMs = lockIdleTimeoutMs + 2_000

/** Rolls the log of the settings forward, which nobody else works on meanwhile. Rejects as `rollForward`. */
export async function rollLog(
  config: Config,
  request: RollRequest,
  signal: AbortSignal,
): Promise<RolledForward & { readonly origin: string }> {
  const log = await readLogFile(config.dataDir)
  if (log?.state !== 'ready') throw new CannotRecover(`${resolve(config.dataDir)} holds no log that could go on`)
  const { origin } = log
  const keys = await openKeys(keysFolderOf(config), origin, unlockOf(config))
  const database = await openDatabase(config, () => {}, signal)
  try {
    const lock = await waitForLock(database.connections.writer, database.schema, lockWaitMs, signal)
    const cell = openCell(cellPlaceOf(config), origin)
    try {
      signal.throwIfAborted()
      const { onProgress } = request
      const base = { origin, keys, cell, schema: database.schema, hash: nativeSha256, onProgress, signal }
      const rolled = await withSource(config, request.from, signal, (source) =>
        withLogins(database, request.isTrial, (logins) => rollForward({ ...base, ...logins, source })),
      )
      return { origin, ...rolled }
    } finally {
      await cell.close()
      await lock?.release()
    }
  } finally {
    await database.close()
  }
}

type Logins = Pick<RollOptions, 'writer' | 'signer' | 'session'>

async function withLogins<T>(
  { connections }: Database,
  isTrial: boolean,
  work: (logins: Logins) => Promise<T>,
): Promise<T> {
  const session: Session | undefined = isTrial ? undefined : await openSession(connections.writer, idleTimeoutMs)
  try {
    return await withPool(connections.writer, (writer) =>
      withPool(connections.signer, (signer) => work({ writer, signer, session })),
    )
  } finally {
    await session?.close()
  }
}

async function withSource<T>(
  config: Config,
  from: string | undefined,
  signal: AbortSignal,
  work: (source: RollSource | undefined) => Promise<T>,
): Promise<T> {
  if (from === undefined) return work(undefined)
  if (/^postgres(ql)?:\/\//.test(from)) return withDatabaseSource(config, { connectionString: from }, work)
  await access(join(from, 'pg', 'PG_VERSION')).catch((cause: unknown) => {
    const want = 'want postgres://user:password@host:5432/database, or a data folder with an embedded PostgreSQL'
    throw new CannotRecover(`--from: ${want}`, { cause })
  })
  const cluster = await openCluster({ dataDir: from, binDir: config.pgBin }, signal)
  try {
    return await withDatabaseSource(config, cluster.config, work)
  } finally {
    await cluster.stop()
  }
}

async function withDatabaseSource<T>(
  config: Config,
  login: ReadConfig,
  work: (source: RollSource) => Promise<T>,
): Promise<T> {
  const session = await openReadSession(login)
  try {
    return await work(databaseSource(session.query, schemaNames(config), nativeSha256))
  } finally {
    await session.close()
  }
}
