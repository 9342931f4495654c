import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Schema } from './batch.ts'
import { connectTimeoutMs } from './session.ts'

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

/**
 * Takes the lock of a log: a transaction on a connection of its own holds it, and is left open. Undefined where another
 * session has it.
 */
export async function tryLogLock(config: pg.ClientConfig, schema: Schema): Promise<LogLock | undefined> {
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
    if (await takeLock(client, schema)) return holdLock(client, ended)
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
  await client.end()
  return undefined
}

async function takeLock(client: pg.Client, schema: Schema): Promise<boolean> {
  await client.query(`set idle_in_transaction_session_timeout = ${lockIdleTimeoutMs}`)
  // From PostgreSQL 17 on a database may be set to end long transactions.
  await client.query(`select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'`)
  await client.query('begin isolation level read committed')
  const { rows } = await client.query<{ taken: boolean }>(`select ${schema.evidence}.try_writer_lock() as taken`)
  return rows[0]?.taken === true
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
