import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LoginRole, loginRoles } from '../../src/store/roles.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import {
  connect,
  connectAsOwner,
  denied,
  evidenceRows,
  evidenceTables,
  firstPartitions,
  headRow,
  outcome,
  outcomeUndone,
  updateOf,
} from './ledger.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await makeDatabase()
  const owner = await connectAsOwner(database.admin)
  await owner.query(headRow(0, null))
})

afterAll(() => database.drop())

const proofTables = ['checkpoints', 'cosignatures', 'anchors', 'archive_manifests']
const entryTables = ['audit_logs', 'entry_ids', 'tiles', 'tree_heads']
const findingTables = ['findings', 'verifier_progress']

const insertable: Readonly<Record<LoginRole, readonly string[]>> = {
  app_writer_role: [...entryTables, 'quarantine'],
  auditor_reader_role: [],
  checkpoint_signer_role: proofTables,
  verifier_role: findingTables,
  database_admin_role: [],
  app_state_role: [],
}

const selectable: Readonly<Record<LoginRole, readonly string[]>> = {
  app_writer_role: [],
  auditor_reader_role: [...entryTables, ...proofTables, ...findingTables],
  checkpoint_signer_role: ['tiles', 'tree_heads', ...proofTables],
  verifier_role: evidenceTables,
  database_admin_role: [],
  app_state_role: [],
}

const forWriter = [
  'select security.writer_head()',
  `select security.known_entries('{}')`,
  `select security.newest_ids('00000000-0000-0000-0000-000000000000', 1)`,
  'select security.ensure_partitions(0)',
  'select security.try_writer_lock()',
]

const forNobody = [
  'select security.create_partition(1)',
  'select security.partition_name(1)',
  'select security_guard.record()',
  `select security_guard.check_state('{}')`,
  'select security_guard.permitted()',
  'select * from security_guard.expected',
  `insert into security_guard.permits values (pg_backend_pid(), txid_current(), '')`,
  'select * from security.schema_migrations',
  'create table security.mine (n int)',
  'create table security_state.mine (n int)',
  'alter table security.tiles disable trigger refuse_change',
  'drop table security.tiles',
  'create index on security.tiles (level)',
  'lock table security.writer_lock in access share mode',
  'lock table security.writer_lock in exclusive mode',
  'set session_replication_role = replica',
  'set role ledger_owner_role',
]

describe.each(loginRoles)('%s', (role) => {
  const allowed = (list: readonly string[], table: string): string => (list.includes(table) ? 'ok' : denied)

  test('logs in as itself', async () => {
    const client = await connect(database.as(role))
    const { rows } = await client.query('select session_user::text as session, current_user::text as current')
    expect(rows).toEqual([{ session: role, current: role }])
  })

  test.each(evidenceTables)('has on %s the rights of the table of roles and no other', async (table) => {
    const client = await connect(database.as(role))
    expect({
      insert: await outcomeUndone(client, evidenceRows[table] ?? ''),
      select: await outcomeUndone(client, `select * from security.${table}`),
      update: await outcomeUndone(client, updateOf(table)),
      delete: await outcomeUndone(client, `delete from security.${table}`),
      truncate: await outcomeUndone(client, `truncate security.${table}`),
      lock: await outcomeUndone(client, `lock table security.${table} in access exclusive mode`),
    }).toEqual({
      insert: allowed(insertable[role], table),
      select: allowed(selectable[role], table),
      update: denied,
      delete: denied,
      truncate: denied,
      lock: denied,
    })
    const { rows } = await (await connect(database.admin)).query(
      `select privilege
       from unnest(array['UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as privilege
       where has_table_privilege($1, $2, privilege)
          or privilege in ('UPDATE', 'REFERENCES') and has_any_column_privilege($1, $2, privilege)`,
      [role, `security.${table}`],
    )
    expect(rows).toEqual([])
  })

  test.each(firstPartitions)('has no right on partition %s itself', async (partition) => {
    const client = await connect(database.as(role))
    expect(await outcome(client, `select * from security.${partition}`)).toBe(denied)
    expect(await outcome(client, `truncate security.${partition}`)).toBe(denied)
    expect(await outcome(client, `delete from security.${partition}`)).toBe(denied)
    expect(await outcome(client, `insert into security.${partition} default values`)).toBe(denied)
  })

  test.each(forWriter)('%s: only the writer', async (sql) => {
    const client = await connect(database.as(role))
    expect(await outcomeUndone(client, sql)).toBe(role === 'app_writer_role' ? 'ok' : denied)
  })

  test.each(forNobody)('%s: denied', async (sql) => {
    expect(await outcomeUndone(await connect(database.as(role)), sql)).toBe(denied)
  })

  test.each(['tokens', 'positions', 'acts'])('security_state.%s: only app_state_role', async (table) => {
    const client = await connect(database.as(role))
    const wanted = role === 'app_state_role' ? 'ok' : denied
    expect(await outcomeUndone(client, `select * from security_state.${table}`)).toBe(wanted)
    expect(await outcomeUndone(client, `delete from security_state.${table}`)).toBe(wanted)
    expect(await outcomeUndone(client, `truncate security_state.${table}`)).toBe(denied)
  })

  test.each(['opened_incidents', 'alarms', 'watch_rules'])(
    'security_state.%s: app_state_role, which removes nothing',
    async (table) => {
      const client = await connect(database.as(role))
      const wanted = role === 'app_state_role' ? 'ok' : denied
      expect(await outcomeUndone(client, `select * from security_state.${table}`)).toBe(wanted)
      expect(await outcomeUndone(client, `update security_state.${table} set id = id`)).toBe(wanted)
      expect(await outcomeUndone(client, `delete from security_state.${table}`)).toBe(denied)
      expect(await outcomeUndone(client, `truncate security_state.${table} cascade`)).toBe(denied)
    },
  )
})

test('the signer reads places and leaf hashes of the ledger and nothing else of it', async () => {
  const signer = await connect(database.as('checkpoint_signer_role'))
  expect(await outcome(signer, 'select sequence_number, leaf_hash from security.audit_logs')).toBe('ok')
  for (const column of ['id', 'payload', 'actor_id', 'event_id', 'current_hash', 'payload_hash']) {
    expect(await outcome(signer, `select ${column} from security.audit_logs`)).toBe(denied)
  }
})

test('app_state_role writes tokens and positions', async () => {
  const client = await connect(database.as('app_state_role'))
  const token = `insert into security_state.tokens (token_hash, name, role) values (decode(repeat('00', 32), 'hex'), 't',`
  expect(await outcomeUndone(client, `${token} 'admin')`)).toBe('ok')
  expect(await outcomeUndone(client, `${token} 'root')`)).toBe('23514')
  const position = `insert into security_state.positions (follower, position) values ('f', 1)
    on conflict (follower) do update set position = excluded.position, updated_at = clock_timestamp()`
  expect(await outcomeUndone(client, position)).toBe('ok')
})

test('security_state.incidents: app_state_role adds and counts, and removes nothing; the others have no right', async () => {
  const insert = `insert into security_state.incidents (code, detail, published_size, published_root, integrated_size, count)
    values ('C', 'd', 0, decode(repeat('00', 32), 'hex'), 0, 1)`
  for (const role of loginRoles) {
    const client = await connect(database.as(role))
    const wanted = role === 'app_state_role' ? 'ok' : denied
    expect(await outcomeUndone(client, insert)).toBe(wanted)
    expect(await outcomeUndone(client, 'select * from security_state.incidents')).toBe(wanted)
    expect(await outcomeUndone(client, 'update security_state.incidents set count = count + 1')).toBe(wanted)
    expect(await outcomeUndone(client, 'delete from security_state.incidents')).toBe(denied)
  }
})

test.each(['settings', 'told_migrations'])(
  'security_state.%s: app_state_role reads it, nobody removes of it',
  async (table) => {
    for (const role of loginRoles) {
      const client = await connect(database.as(role))
      const wanted = role === 'app_state_role' ? 'ok' : denied
      expect(await outcomeUndone(client, `select * from security_state.${table}`)).toBe(wanted)
      expect(await outcomeUndone(client, 'select * from security_state.applied_migrations()')).toBe(wanted)
      expect(await outcomeUndone(client, `delete from security_state.${table}`)).toBe(denied)
    }
  },
)

test('database_admin_role monitors and takes physical backups', async () => {
  const { rows } = await (await connect(database.as('database_admin_role'))).query(
    `select rolreplication, pg_has_role(rolname, 'pg_monitor', 'usage') as monitor
     from pg_roles
     where rolname = session_user`,
  )
  expect(rows).toEqual([{ rolreplication: true, monitor: true }])
})

test('the aliases are members of the writer and of the reader, and neither they nor the owner log in', async () => {
  const { rows } = await (await connect(database.admin)).query(
    `select rolname, rolcanlogin, pg_has_role(rolname, 'app_writer_role', 'usage') as writes,
            pg_has_role(rolname, 'auditor_reader_role', 'usage') as reads
     from pg_roles
     where rolname in ('application_role', 'security_auditor_role', 'ledger_owner_role')
     order by rolname`,
  )
  expect(rows).toEqual([
    { rolname: 'application_role', rolcanlogin: false, writes: true, reads: false },
    { rolname: 'ledger_owner_role', rolcanlogin: false, writes: false, reads: false },
    { rolname: 'security_auditor_role', rolcanlogin: false, writes: false, reads: true },
  ])
})

test('no function of the schema and of the guard can be executed by everybody', async () => {
  const { rows } = await (await connect(database.admin)).query(
    `select p.oid::regprocedure
     from pg_proc p
     cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     where p.pronamespace in ('security'::regnamespace, 'security_guard'::regnamespace)
       and a.grantee = 0`,
  )
  expect(rows).toEqual([])
})
