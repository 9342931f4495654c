import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Schema } from './batch.ts'
import { committerName, connectTimeoutMs } from './session.ts'

/** That this process, and no other, works on a log. Spares the others vain work; the fences of the tables protect the log. */
export type LogLock = {
  /** Aborts when the lock may be another's: its connection has ended. */
  readonly lost: AbortSignal
  readonly release: () => Promise<void>
}

/**
 * A process that stopped loses the lock after this time, so that another may go on. More than the 5 s of a writer's
 * transaction: that runs in a thread, and this heartbeat where a hostile request may keep everything waiting for seconds.
 */
export const lockIdleTimeoutMs = 10_000
const heartbeatMs = 1_000
const committerEndMs = 1_000

/** Asks for the lock of a log, as often as its owner likes, on one connection. */
export type LockCandidate = {
  /**
   * The lock, undefined where another session has it. A transaction holds it and is left open; the candidate is of no
   * more use then.
   */
  readonly tryTake: () => Promise<LogLock | undefined>
  /** Ends the connection, unless the lock was taken: that has it then. */
  readonly close: () => Promise<void>
}

/** Connects to ask for the lock of a log. Rejects with what connecting does. */
export async function openLockCandidate(config: pg.ClientConfig, schema: Schema): Promise<LockCandidate> {
  const client = new pg.Client({
    ...config,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: lockIdleTimeoutMs,
    keepAlive: true,
  })
  const ended = new AbortController()
  client.on('error', () => ended.abort())
  client.on('end', () => ended.abort())
  try {
    await client.connect()
    await setTimeouts(client)
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
  let isTaken = false
  return {
    tryTake: async () => {
      isTaken = await takeLock(client, schema)
      return isTaken ? holdLock(client, ended) : undefined
    },
    close: async () => {
      if (!isTaken) await client.end().catch(() => {})
    },
  }
}

/** Takes the lock of a log; undefined where another session has it. */
export async function tryLogLock(config: pg.ClientConfig, schema: Schema): Promise<LogLock | undefined> {
  const candidate = await openLockCandidate(config, schema)
  try {
    return await candidate.tryTake()
  } finally {
    await candidate.close()
  }
}

async function setTimeouts(client: pg.Client): Promise<void> {
  await client.query(`set idle_in_transaction_session_timeout = ${lockIdleTimeoutMs}`)
  // From PostgreSQL 17 on a database may be set to end long transactions.
  await client.query(`select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'`)
}

/** One statement where another has the lock: it is asked for often. */
async function takeLock(client: pg.Client, schema: Schema): Promise<boolean> {
  if (!(await isFree(client, schema))) return false
  await client.query('begin isolation level read committed')
  if (await isFree(client, schema)) {
    await endOtherCommitters(client)
    return true
  }
  await client.query('rollback')
  return false
}

/** In a transaction a lock that is free is taken until its end. */
async function isFree(client: pg.Client, schema: Schema): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>(`select ${schema.evidence}.try_writer_lock() as taken`)
  return rows[0]?.taken === true
}

/**
 * Ends what the last holder still has: a process that was stopped in the middle of a COPY keeps its uncommitted head,
 * on which our first commit would wait, and no time-out of the server's ends that. What cannot be ended (another login,
 * a session that hangs) is left to the fences of the tables.
 */
async function endOtherCommitters(client: pg.Client): Promise<void> {
  await client.query(
    `select pg_catalog.pg_terminate_backend(pid, ${committerEndMs})
     from pg_catalog.pg_stat_activity
     where application_name = '${committerName}'
       and datname = current_database()
       and usename = session_user
       and pid <> pg_catalog.pg_backend_pid()`,
  )
}

function holdLock(client: pg.Client, ended: AbortController): LogLock {
  const beating = beat(client, ended)
  return {
    lost: ended.signal,
    release: async () => {
      ended.abort()
      await beating
      await client.end().catch(() => {})
    },
  }
}

async function beat(client: pg.Client, ended: AbortController): Promise<void> {
  while (!ended.signal.aborted) {
    try {
      await sleep(heartbeatMs, undefined, { signal: ended.signal })
      await client.query('select 1')
    } catch {
      // Whatever it was: without an answer the lock may be gone, and the next holder at work.
      ended.abort()
    }
  }
}
