import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { withConnection, withDatabase, withLogin } from '../../src/store/administrator.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createRolePasswords, loginRoles, roleConfig, setRolePasswords } from '../../src/store/roles.ts'
import { openPool, type Query } from '../../src/store/session.ts'
import { lockWriter, readWriterLockProblem, unlockWriter } from '../../src/store/writer-lock.ts'
import type {} from '../support/cluster.ts'
import { schema } from '../support/log.ts'

// What migrating gives the login that keeps state: one thing, and only where the administrator may do it.

const cluster = inject('cluster')
const directory = join(import.meta.dirname, '..', '..', 'migrations')
const silent = (): void => {}
const passwords = createRolePasswords()
let name: string
let admin: ClientConfig
beforeEach(async () => {
  name = `lock${randomBytes(4).toString('hex')}`
  await asSuperuser(`create role ${name}_admin createrole login password 'managed'`)
  await asSuperuser(`create database ${name} owner ${name}_admin`)
  admin = withLogin(withDatabase(cluster.admin, name), `${name}_admin`, 'managed')
})
afterEach(async () => {
  await asSuperuser(`drop database if exists ${name} with (force)`)
  await withConnection(cluster.admin, silent, async (client) => {
    const { rows } = await client.query<{ rolname: string }>(
      `select rolname from pg_roles where rolname like '${name}\\_%' order by rolname = '${name}_admin', rolname like '%owner_role' desc`,
    )
    for (const { rolname } of rows) await client.query(`drop role ${rolname}`)
  })
})

async function asSuperuser(statement: string): Promise<void> {
  await withConnection(cluster.admin, silent, (client) => client.query(statement))
}

async function migrated(config: ClientConfig): Promise<string> {
  const messages: string[] = []
  const log = (message: string): void => void messages.push(message)
  await migrate(config, { directory, schema: 'security', prefix: `${name}_`, log })
  await setRolePasswords(config, `${name}_`, passwords, silent)
  return messages.join('\n')
}

const as = (role: (typeof loginRoles)[number]): ClientConfig => roleConfig(admin, `${name}_`, role, passwords)
const writer = (): string => `${name}_app_writer_role`

async function asState<T>(work: (query: Query) => Promise<T>): Promise<T> {
  const pool = openPool(as('app_state_role'), 1, 10_000)
  try {
    return await work(pool.query)
  } finally {
    await pool.close()
  }
}

async function checkLocks(): Promise<void> {
  expect(await asState((query) => readWriterLockProblem(query, schema, writer()))).toBeUndefined()
  let ended: number | undefined
  const session = withConnection(as('app_writer_role'), silent, async (client) => {
    ended = await asState((query) => lockWriter(query, schema))
    await client.query('select 1')
  })
  await expect(session).rejects.toThrow()
  expect(ended).toBe(1)
  await expect(withConnection(as('app_writer_role'), silent, async () => {})).rejects.toThrow('not permitted to log in')
  await unlockWriter(admin, writer())
  await withConnection(as('app_writer_role'), silent, (client) => client.query('select 1'))
}

test('where an administrator who is no superuser may not end sessions, migrating warns and the lock says why', async () => {
  expect(await migrated(admin)).toContain('containment cannot use lock-writer')
  expect(await asState((query) => readWriterLockProblem(query, schema, writer()))).toContain('may not lock')
})

test('an administrator who may end sessions makes a lock that works', async () => {
  await asSuperuser(`grant pg_signal_backend to ${name}_admin`)
  expect(await migrated(admin)).not.toContain('lock-writer')
  await checkLocks()
})

test('a superuser makes a lock that works, for the login that keeps state and no other', async () => {
  expect(await migrated(withDatabase(cluster.admin, name))).not.toContain('lock-writer')
  const others = loginRoles.filter((role) => role !== 'app_state_role')
  for (const role of others) {
    const call = withConnection(as(role), silent, (client) => client.query('select security_state.lock_writer()'))
    await expect(call).rejects.toThrow('permission denied')
  }
  admin = withDatabase(cluster.admin, name)
  await checkLocks()
})
