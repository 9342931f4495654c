import { randomBytes } from 'node:crypto'
import type { ClientConfig } from 'pg'
import { inject } from 'vitest'
import { withConnection, withDatabase } from '../../src/store/administrator.ts'
import { type LoginRole, roleConfig } from '../../src/store/roles.ts'
// The type of what is injected is declared there.
import type {} from './cluster.ts'

export interface TestDatabase {
  /** The superuser's connection. */
  readonly admin: ClientConfig
  /** A role's connection. */
  as(role: LoginRole): ClientConfig
  /** Ends all sessions in the database and removes it. */
  drop(): Promise<void>
}

const silent = (): void => {}

/** A new migrated database, a copy of the run's template. Tests drop what they made. */
export async function makeDatabase(): Promise<TestDatabase> {
  const cluster = inject('cluster')
  const name = `dendrolog_test_${randomBytes(6).toString('hex')}`
  await withConnection(cluster.admin, silent, async (client) => {
    // One copy at a time, over all workers; the lock ends with the connection.
    await client.query("select pg_catalog.pg_advisory_lock(hashtext('dendrolog test template'))")
    await client.query(`create database ${name} template ${cluster.template}`)
  })
  const admin = withDatabase(cluster.admin, name)
  return {
    admin,
    as: (role) => roleConfig(admin, '', role, cluster.passwords),
    drop: async () => {
      await withConnection(cluster.admin, silent, (client) => client.query(`drop database ${name} with (force)`))
    },
  }
}
