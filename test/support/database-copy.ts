/** A database as it was before: what a restored backup or a promoted stale standby looks like. */
import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { inject } from 'vitest'
import { withDatabase } from '../../src/store/administrator.ts'
import { roleConfig } from '../../src/store/roles.ts'
import type {} from './cluster.ts'
import type { TestDatabase } from './database.ts'

/** Copies the database, in which nobody may be connected. Returns the copy's name. */
export async function copyDatabase(database: TestDatabase): Promise<string> {
  const copy = `dendrolog_test_${randomBytes(6).toString('hex')}`
  const name = await nameOf(database)
  await asAdmin((admin) => admin.query(`create database ${copy} template ${name}`))
  return copy
}

/** A copy that is a database of its own. */
export async function copyOf(database: TestDatabase): Promise<TestDatabase> {
  const name = await copyDatabase(database)
  const cluster = inject('cluster')
  const admin = withDatabase(cluster.admin, name)
  return {
    admin,
    as: (role) => roleConfig(admin, '', role, cluster.passwords),
    drop: () => dropDatabase(name),
  }
}

/** Gives the copy the database's name, under which whoever is cut off comes back; the database gets the copy's. */
export async function swapDatabases(database: TestDatabase, copy: string): Promise<void> {
  const name = await nameOf(database)
  await asAdmin(async (admin) => {
    await admin.query(`alter database ${name} allow_connections false`)
    await admin.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = any ($1)', [
      [name, copy],
    ])
    await admin.query(`alter database ${name} rename to ${name}_gone`)
    await admin.query(`alter database ${copy} rename to ${name}`)
    await admin.query(`alter database ${name}_gone rename to ${copy}`)
    await admin.query(`alter database ${copy} allow_connections true`)
  })
}

export async function dropDatabase(name: string): Promise<void> {
  await asAdmin((admin) => admin.query(`drop database if exists ${name} with (force)`))
}

/** Ends all sessions in the database but the caller's. */
export async function cutConnections(database: TestDatabase): Promise<void> {
  const name = await nameOf(database)
  await asAdmin((admin) =>
    admin.query('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1', [name]),
  )
}

export async function asSuperuser<T>(database: TestDatabase, work: (client: Client) => Promise<T>): Promise<T> {
  return connected(new Client(database.admin), work)
}

async function nameOf(database: TestDatabase): Promise<string> {
  return asSuperuser(database, async (client) => {
    const { rows } = await client.query<{ name: string }>('select current_database() as name')
    return rows[0]?.name ?? ''
  })
}

async function asAdmin<T>(work: (client: Client) => Promise<T>): Promise<T> {
  return connected(new Client(inject('cluster').admin), work)
}

async function connected<T>(client: Client, work: (client: Client) => Promise<T>): Promise<T> {
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
