import { join } from 'node:path'
import type { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrate } from '../../src/store/migrate.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { connect, connectAsOwner, denied, guarded, headRow, outcome } from './ledger.ts'

const insert = `insert into security_guard.permits (backend_pid, txid, reason)
  values (pg_backend_pid(), txid_current(), 'test')`

let database: TestDatabase
let admin: Client

beforeEach(async () => {
  database = await makeDatabase()
  admin = await connect(database.admin)
})

afterEach(() => database.drop())

test('a permit lets a transaction change the evidence, and the record follows', async () => {
  await admin.query('begin')
  await admin.query(insert)
  await admin.query('alter table security.tiles add column more int')
  await admin.query('alter table security.audit_logs detach partition security.audit_logs_p0000000000000001')
  await admin.query('delete from security_guard.permits')
  expect(await outcome(admin, 'commit')).toBe('ok')
  expect(await outcome(admin, 'create table elsewhere_too (n int)')).toBe('ok')
  expect(await outcome(admin, 'alter table security.tiles drop column more')).toBe(guarded)
  const writer = await connect(database.as('app_writer_role'))
  expect(await outcome(writer, 'select security.ensure_partitions(65537)')).toBe('ok')
})

test('a permit ends with its transaction', async () => {
  await admin.query(insert)
  expect(await outcome(admin, 'alter table security.tiles disable trigger refuse_change')).toBe(guarded)
})

test('a permit is of one session', async () => {
  await admin.query('begin')
  await admin.query(insert)
  const owner = await connectAsOwner(database.admin)
  expect(await outcome(owner, 'alter table security.tiles disable trigger refuse_change')).toBe(guarded)
  await admin.query('rollback')
})

test('a permit is not for the owner to give', async () => {
  expect(await outcome(await connectAsOwner(database.admin), insert)).toBe(denied)
})

test('a permit that was not deleted leaves the table closed until it is', async () => {
  await admin.query('begin')
  await admin.query(insert)
  await admin.query('alter table security.tiles add column more int')
  await admin.query('commit')
  const harmless = 'alter table security.tiles alter column level set statistics 10'
  expect(await outcome(admin, harmless)).toBe(guarded)
  await admin.query('delete from security_guard.permits')
  expect(await outcome(admin, harmless)).toBe('ok')
})

test('what fires no event trigger is refused at the next command', async () => {
  // Only a superuser has the rights for it.
  await admin.query('reassign owned by ledger_owner_role to app_writer_role')
  const writer = await connect(database.as('app_writer_role'))
  expect(await outcome(admin, 'grant select on security.tiles to verifier_role')).toBe(guarded)
  expect(await outcome(writer, 'select security.ensure_partitions(1)')).not.toBe('ok')
})

test("another log in the database has its own guard, and one's state is not the other's", async () => {
  const directory = join(import.meta.dirname, '..', '..', 'migrations')
  await migrate(database.admin, { directory, schema: 'second', prefix: 'second_', log: () => {} })
  await admin.query('alter event trigger second_guard_end disable')
  await admin.query('alter table second.tiles disable trigger refuse_change')
  await admin.query('alter event trigger second_guard_end enable always')
  const writer = await connect(database.as('app_writer_role'))
  expect(await outcome(writer, 'select security.ensure_partitions(1)')).toBe('ok')
  expect(await outcome(admin, 'select second.ensure_partitions(1)')).toBe(guarded)
  expect(await outcome(admin, 'alter table security.tiles disable trigger refuse_change')).toBe(guarded)
})

test('a superuser can disable the guard: this is what the hashes are for', async () => {
  await admin.query('alter event trigger security_guard_start disable')
  await admin.query('alter event trigger security_guard_end disable')
  await admin.query('alter event trigger security_guard_drop disable')
  expect(await outcome(admin, 'alter table security.tree_heads disable trigger refuse_change')).toBe('ok')
  await admin.query(headRow(0, null))
  expect((await admin.query('delete from security.tree_heads')).rowCount).toBe(1)
  await admin.query('alter event trigger security_guard_end enable always')
  expect(await outcome(admin, 'create table public.t (n int)')).toBe('ok')
  expect(await outcome(admin, 'drop table public.t')).toBe(guarded)
})
