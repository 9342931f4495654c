/**
 * One PostgreSQL for a whole test run, with a migrated template database and the roles' passwords set once: roles are
 * the cluster's, and databases that alter them at the same time fail. `TEST_DATABASE_URL`, a superuser's, names
 * another server to use instead, `TEST_PG_BIN` the binaries of another version.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import type { TestProject } from 'vitest/node'
import { withConnection, withDatabase } from '../../src/store/administrator.ts'
import { openCluster } from '../../src/store/embedded.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createRolePasswords, type RolePasswords, setRolePasswords } from '../../src/store/roles.ts'

/** What test workers get: connections of the superuser and of the roles, as plain data. */
export type TestCluster = {
  readonly admin: ClientConfig
  readonly template: string
  readonly passwords: RolePasswords
}

declare module 'vitest' {
  export interface ProvidedContext {
    cluster: TestCluster
  }
}

const template = 'dendrolog_template'
const migrations = join(import.meta.dirname, '..', '..', 'migrations')
const silent = (): void => {}

// Tests kill processes, not machines: without fsync a database is made in a third of the time.
const settings = { fsync: 'off', full_page_writes: 'off', max_connections: '200' }

/** Called by vitest before the first test; the result after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { admin, stop } = await openServer()
  try {
    project.provide('cluster', await prepare(admin))
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

async function openServer(): Promise<{ admin: ClientConfig; stop: () => Promise<void> }> {
  const url = process.env.TEST_DATABASE_URL
  if (url !== undefined && url !== '') {
    const admin: ClientConfig = { connectionString: url }
    return { admin, stop: () => dropTemplate(admin) }
  }
  const dataDir = await mkdtemp(join(tmpdir(), 'dendrolog-test-'))
  const remove = (): Promise<void> => rm(dataDir, { recursive: true, force: true, maxRetries: 10 })
  try {
    const cluster = await openCluster({ dataDir, settings, binDir: process.env.TEST_PG_BIN })
    return { admin: cluster.config, stop: () => cluster.stop().finally(remove) }
  } catch (error) {
    await remove()
    throw error
  }
}

async function prepare(admin: ClientConfig): Promise<TestCluster> {
  await dropTemplate(admin)
  await withConnection(admin, silent, (client) => client.query(`create database ${template}`))
  await migrate(withDatabase(admin, template), { directory: migrations, schema: 'security', prefix: '', log: silent })
  const passwords = createRolePasswords()
  await setRolePasswords(admin, '', passwords, silent)
  // A database with connections cannot be copied.
  await withConnection(admin, silent, (client) => client.query(`alter database ${template} allow_connections false`))
  return { admin, template, passwords }
}

async function dropTemplate(admin: ClientConfig): Promise<void> {
  await withConnection(admin, silent, (client) => client.query(`drop database if exists ${template} with (force)`))
}
