/** Starts on a PostgreSQL of the system: databases and logins as an administrator makes them. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { migrate } from '../../src/store/migrate.ts'
import { createRolePasswords, type LoginRole, roleConfig, setRolePasswords } from '../../src/store/roles.ts'
import type { Environment, tryServer } from '../support/server-process.ts'
import { withClient } from './whole-log.ts'

const migrations = join(import.meta.dirname, '..', '..', 'migrations')

/** The one line in which a refused start says why. */
export function expectRefused(started: Awaited<ReturnType<typeof tryServer>>): string {
  if (!('status' in started)) throw new Error('it was not refused')
  expect(started.status).toBe(2)
  const lines = started.output.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  expect(lines).toHaveLength(1)
  return lines[0] ?? ''
}

/** Makes a database on the server of a superuser's URL, and gives the URL of that. */
export async function createDatabase(server: string, name: string): Promise<string> {
  await withClient({ connectionString: server }, (client) => client.query(`create database ${name}`))
  const url = new URL(server)
  url.pathname = name
  return url.href
}

/** What an administrator does once: migrates, and gives the roles passwords. Returns a server's environment. */
export async function prepareLogins(url: string, prefix: string): Promise<Environment> {
  const admin = { connectionString: url }
  const passwords = createRolePasswords()
  await migrate(admin, { directory: migrations, schema: 'security', prefix, log: () => {} })
  await setRolePasswords(admin, prefix, passwords, () => {})
  const login = (role: LoginRole): string => roleConfig(admin, prefix, role, passwords).connectionString ?? ''
  return {
    DENDROLOG_ROLE_PREFIX: prefix,
    DENDROLOG_WRITER_URL: login('app_writer_role'),
    DENDROLOG_READER_URL: login('auditor_reader_role'),
    DENDROLOG_SIGNER_URL: login('checkpoint_signer_role'),
    DENDROLOG_STATE_URL: login('app_state_role'),
  }
}
