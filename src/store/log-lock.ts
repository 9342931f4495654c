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

/** A process that stopped loses the lock after this time, so that another may go on. */
export const lockIdleTimeoutMs = 5_000
const heartbeatMs = 1_000

/**
 * Takes the advisory lock of a log, on a connection of its own that must not go through a transaction pooler. Undefined
 * where another session has it. Locks are a database's, the key is that of the schema.
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
  await client.query(`set idle_session_timeout = ${lockIdleTimeoutMs}`)
  const { rows } = await client.query<{ taken: boolean }>(
    'select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0)) as taken',
    [`dendrolog log ${schema.evidence}`],
  )
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
