import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { withConnection, withDatabase, withLogin } from '../../src/store/administrator.ts'
import { migrate } from '../../src/store/migrate.ts'
import { loginRoles, roleConfig } from '../../src/store/roles.ts'
import { connect, denied, headRow, outcome } from './ledger.ts'

// A database of its own, not a copy of the template: rights on a database are not copied with it.

const directory = join(import.meta.dirname, '..', '..', 'migrations')
const silent = (): void => {}
const name = `dendrolog_test_${randomBytes(6).toString('hex')}`
const managedName = `${name}_managed`
const managedAdmin = `${name}_admin`
const cluster = inject('cluster')
const admin: ClientConfig = withDatabase(cluster.admin, name)

const asAdmin = (sql: string): Promise<unknown> => withConnection(cluster.admin, silent, (client) => client.query(sql))

beforeAll(async () => {
  await asAdmin(`create database ${name}`)
  await migrate(admin, { directory, schema: 'security', prefix: '', log: silent })
})

afterAll(() => asAdmin(`drop database ${name} with (force)`))

describe.each(loginRoles)('%s', (role) => {
  test.each([
    'create temporary table mine (n int)',
    'select lo_creat(-1)',
    'select lo_create(0)',
    `select lo_from_bytea(0, 'x')`,
    `select lo_import('/etc/hostname')`,
    `select lo_export(1, '/tmp/dendrolog-test')`,
  ])('%s: denied', async (sql) => {
    expect(await outcome(await connect(roleConfig(admin, '', role, cluster.passwords)), sql)).toBe(denied)
  })
})

test('an administrator who may not close the catalog is warned, and the rest is migrated', async () => {
  await asAdmin(`create role ${managedAdmin} createrole login password 'managed'`)
  try {
    await asAdmin(`create database ${managedName} owner ${managedAdmin}`)
    const config = withLogin(withDatabase(cluster.admin, managedName), managedAdmin, 'managed')
    const messages: string[] = []
    const prefix = `${name}_`
    const options = { directory, schema: 'security', prefix, log: (message: string) => messages.push(message) }
    await migrate(config, options)
    expect(messages.join('\n')).toContain('large objects')
    expect(messages.join('\n')).not.toContain('temporary tables')
  } finally {
    await asAdmin(`drop database if exists ${managedName} with (force)`)
    await dropRoles()
  }
})

async function dropRoles(): Promise<void> {
  await withConnection(cluster.admin, silent, async (client) => {
    const { rows } = await client.query<{ rolname: string }>(
      `select rolname from pg_roles where rolname like '${name}\\_%'
       order by rolname like '%owner_role' desc, rolname = '${managedAdmin}'`,
    )
    for (const { rolname } of rows) await client.query(`drop role ${rolname}`)
  })
}

test('every definer function looks for names in the catalog first and in temporary tables last', async () => {
  const { rows } = await (await connect(admin)).query(
    `select oid::regprocedure::text as name, proconfig
     from pg_proc
     where prosecdef
       and pronamespace in ('security'::regnamespace, 'security_guard'::regnamespace)`,
  )
  expect(rows.length).toBeGreaterThan(5)
  for (const row of rows) {
    expect(row).toMatchObject({ proconfig: expect.arrayContaining(['search_path=pg_catalog, pg_temp']) as unknown })
  }
})

test('temporary tables of the names that they use change nothing in what definer functions answer', async () => {
  await withConnection(admin, silent, (client) =>
    client.query(`grant temporary on database ${name} to app_writer_role`),
  )
  const writer = await connect(roleConfig(admin, '', 'app_writer_role', cluster.passwords))
  await writer.query(headRow(0, null))
  const ask = async (): Promise<unknown> => (await writer.query('select * from security.writer_head()')).rows
  const before = await ask()
  for (const table of ['pg_class', 'pg_inherits', 'tree_heads', 'audit_logs', 'entry_ids', 'tiles', 'writer_lock']) {
    await writer.query(`create temporary table ${table} as select 1 as oid, 2 as tree_size, 3 as sequence_number`)
  }
  expect(await ask()).toEqual(before)
  expect(await outcome(writer, 'select security.ensure_partitions(70000)')).toBe('ok')
  expect(await outcome(writer, `select security.known_entries('{}')`)).toBe('ok')
  expect(await outcome(writer, 'select security.try_writer_lock()')).toBe('ok')
})
