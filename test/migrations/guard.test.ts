import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import {
  connect,
  connectAsOwner,
  denied,
  evidenceTables,
  firstPartitions,
  guarded,
  headRow,
  laterPartition,
  outcome,
  outcomeUndone,
} from './ledger.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await makeDatabase()
  const writer = await connect(database.as('app_writer_role'))
  await writer.query(headRow(0, null))
  await writer.query('select security.ensure_partitions(1)')
  const admin = await connect(database.admin)
  await admin.query('create schema elsewhere authorization ledger_owner_role')
  await admin.query('grant create on schema public to ledger_owner_role')
})

afterAll(() => database.drop())

const partitions = [...firstPartitions, laterPartition]
const everything = [...evidenceTables, ...partitions]

/** DDL against table T that the guard refuses. */
const attacks = [
  'alter table T disable trigger user',
  'alter table T disable trigger refuse_truncate',
  'alter table T enable trigger refuse_truncate',
  'alter table T enable replica trigger refuse_truncate',
  'drop trigger refuse_truncate on T',
  'alter trigger refuse_truncate on T rename to other',
  `create or replace trigger refuse_truncate before truncate on T
     for each statement when (false) execute function security.refuse_change()`,
  'create trigger more before insert on T for each statement execute function security.refuse_change()',
  'create rule silent as on insert to T do instead nothing',
  'create rule silent as on delete to T do instead nothing',
  'alter table T enable row level security',
  'alter table T force row level security',
  'create policy hidden on T using (false)',
  'alter table T replica identity nothing',
  'alter table T replica identity full',
  'alter table T owner to app_writer_role',
  'alter table T rename to other',
  'alter table T set schema elsewhere',
  'grant update on T to app_writer_role',
  'grant delete, truncate on T to public',
  'grant trigger on T to app_writer_role',
  'grant all on T to app_state_role with grant option',
  'create index on T ((1))',
  'create table elsewhere.child () inherits (T)',
]

/** Attacks on things that partitions have only through the ledger. */
const ledgerAttacks = [
  'alter table security.audit_logs disable trigger refuse_change',
  'alter table only security.audit_logs disable trigger refuse_change',
  'alter table security.audit_logs enable trigger refuse_change',
  'drop trigger refuse_change on security.audit_logs',
  'alter table security.audit_logs drop constraint audit_logs_leaf_hash_check',
  'alter table security.audit_logs rename constraint audit_logs_leaf_hash_check to other',
  'alter table security.audit_logs alter column leaf_hash drop not null',
  `alter table security.audit_logs alter column leaf_hash set default ''`,
  'alter table security.audit_logs drop column writer cascade',
  'alter table security.audit_logs rename column writer to other',
  'alter table security.audit_logs add column more int',
  'alter table security.audit_logs add check (sequence_number < 100)',
  'alter table security.audit_logs alter column actor_id type varchar(500)',
  'alter table security.audit_logs_pkey rename to other',
  'grant select (payload) on security.audit_logs to checkpoint_signer_role',
  'revoke insert on security.audit_logs from app_writer_role',
  'grant select (payload) on security.audit_logs_p0000000000000001 to checkpoint_signer_role',
  'grant select on security.audit_logs_p0000000000000001 to auditor_reader_role',
  'drop table security.audit_logs',
  'drop table security.audit_logs cascade',
  'drop index security.audit_logs_pkey',
  ...partitions.flatMap((partition) => [
    `alter table security.audit_logs detach partition security.${partition}`,
    `alter table security.audit_logs detach partition security.${partition} concurrently`,
    `ALTER TABLE security . audit_logs DETACH /* */ PARTITION security.${partition} CONCURRENTLY`,
    `alter table security.U&"\\0061udit_logs" detach partition security.${partition} concurrently`,
    `drop table security.${partition}`,
    `alter table security.${partition} disable trigger refuse_change`,
    `alter table security.${partition} enable trigger refuse_change`,
    `alter table security.${partition} drop constraint audit_logs_leaf_hash_check`,
    `alter table security.${partition} alter column leaf_hash drop not null`,
    `alter table security.${partition} alter column leaf_hash set default ''`,
    `alter table security.${partition} add check (sequence_number < 100)`,
  ]),
]

const attachable = (name: string, from: number, to: number, extra = ''): string =>
  `create table ${name} (like security.audit_logs including all);
   ${extra}
   alter table security.audit_logs attach partition ${name} for values from (${from}) to (${to})`

const truncateTrigger = (name: string): string =>
  `create trigger refuse_truncate before truncate on ${name}
     for each statement execute function security.refuse_change();
   alter table ${name} enable always trigger refuse_truncate;`

const next = 'security.audit_logs_p0000000000196609'

const otherAttacks = [
  `create or replace function security.refuse_change() returns trigger language plpgsql as 'begin return old; end'`,
  `create or replace function security.check_checkpoint() returns trigger language plpgsql as 'begin return new; end'`,
  `create or replace function security.partition_name(sequence_number bigint) returns text language sql immutable strict
     begin atomic select 'x'::text; end`,
  'alter function security.refuse_change() rename to other',
  `alter function security.refuse_change() set search_path = ''`,
  'alter function security.refuse_change() security definer',
  'alter function security.ensure_partitions(bigint) reset all',
  'grant execute on function security.create_partition(bigint) to public',
  'grant execute on function security.ensure_partitions(bigint) to auditor_reader_role',
  'drop function security.writer_head()',
  'drop function security.refuse_change() cascade',
  'alter table security.checkpoints disable trigger check_checkpoint',
  'drop trigger check_checkpoint on security.checkpoints',
  'alter table security.tree_heads drop constraint tree_heads_previous_size_key',
  'alter table security.tree_heads drop constraint tree_heads_previous_size_previous_root_fkey',
  'alter table security.tree_heads drop constraint tree_heads_growth_check',
  'alter table security.tree_heads alter column seal drop not null',
  'drop table security.tiles',
  'drop table security.checkpoints, security.cosignatures, security.anchors',
  'drop owned by ledger_owner_role cascade',
  'grant update on all tables in schema security to app_writer_role',
  'alter default privileges for role ledger_owner_role grant delete on tables to public',
  'alter default privileges for role ledger_owner_role in schema security grant select on tables to public',
  'create table elsewhere.other (size bigint references security.tree_heads (tree_size) on delete cascade)',
  // A parent brings its triggers with it.
  `create table elsewhere.parent (like security.entry_ids including all) partition by range (event_id);
   alter table elsewhere.parent attach partition security.entry_ids default`,
  'create index concurrently more on security.tiles (level)',
  'CREATE INDEX CONCURRENTLY ON security.audit_logs_p0000000000000001 (actor_id)',
  `${attachable(next, 196_609, 262_145)}`,
  `${attachable(next, 196_609, 262_144, truncateTrigger(next))}`,
  `${attachable(next, 262_145, 327_681, truncateTrigger(next))}`,
  `${attachable('security.other', 196_609, 262_145, truncateTrigger('security.other'))}`,
  `${attachable('elsewhere.audit_logs_p0000000000196609', 196_609, 262_145, truncateTrigger('elsewhere.audit_logs_p0000000000196609'))}`,
  `create table ${next} partition of security.audit_logs for values from (196609) to (262145)`,
  'create table security.rest partition of security.audit_logs default',
  `create table ${next} partition of security.audit_logs for values from (196609) to (262145)
     partition by range (sequence_number)`,
]

const schemaAttacks = [
  'alter schema security rename to other',
  'alter schema security owner to ledger_owner_role',
  'drop schema security cascade',
]

// What an owner is refused before the guard is asked, because it lacks a right, does not own, or PostgreSQL cannot.
const refusals = [guarded, denied, '2BP01', '0A000', '42809', '42P16', '42P17', '25001', '55000', '42704']

async function expectUntouched(): Promise<void> {
  const admin = await connect(database.admin)
  const { rows } = await admin.query(
    `select security_guard.changed_protections() as protections, security_guard.changed_shapes(null) as shapes`,
  )
  expect(rows).toEqual([{ protections: null, shapes: null }])
}

/** Multi-statement texts fail as one; those that run outside of transactions must be alone. */
async function attack(client: Client, sql: string): Promise<string> {
  return /concurrently/i.test(sql) ? outcome(client, sql) : outcomeUndone(client, sql)
}

describe.each(everything)('%s', (table) => {
  const statements = attacks.map((sql) => sql.replace(/\bT\b/, `security.${table}`))

  test('the owner cannot take away what protects it', async () => {
    const owner = await connectAsOwner(database.admin)
    for (const sql of statements) expect([sql, refusals.includes(await attack(owner, sql))]).toEqual([sql, true])
    await expectUntouched()
  })

  test('a superuser cannot without a permit', async () => {
    const admin = await connect(database.admin)
    for (const sql of statements) expect([sql, refusals.includes(await attack(admin, sql))]).toEqual([sql, true])
    await expectUntouched()
  })
})

describe.each(['the owner', 'a superuser'])('%s', (who) => {
  const session = (): Promise<Client> => (who === 'the owner' ? connectAsOwner : connect)(database.admin)

  test.each([...ledgerAttacks, ...otherAttacks, ...schemaAttacks])('cannot: %s', async (sql) => {
    expect(refusals).toContain(await attack(await session(), sql))
    await expectUntouched()
  })
})

test('the owner of the evidence cannot give rights on the schema or take the role of another', async () => {
  const owner = await connectAsOwner(database.admin)
  for (const sql of [
    'grant usage on schema security to public',
    'reassign owned by ledger_owner_role to app_writer_role',
    'set session_replication_role = replica',
    'alter event trigger security_guard_end disable',
    'drop event trigger security_guard_end',
    'select security_guard.record()',
  ]) {
    await outcome(owner, sql)
    await expectUntouched()
  }
  const { rows } = await (await connect(database.admin)).query(
    `select evtname, evtenabled, evtowner::regrole::text = current_user as own
     from pg_event_trigger
     order by evtname`,
  )
  expect(rows).toEqual(
    ['drop', 'end', 'start'].map((name) => ({ evtname: `security_guard_${name}`, evtenabled: 'A', own: true })),
  )
})

describe('the guard itself refuses, not only PostgreSQL', () => {
  const surelyGuarded = [
    ...attacks.slice(0, 16).map((sql) => sql.replace(/\bT\b/, 'security.tiles')),
    'grant update on security.tiles to app_writer_role',
    'grant select (payload) on security.audit_logs to checkpoint_signer_role',
    ...partitions.map((name) => `alter table security.audit_logs detach partition security.${name}`),
    ...partitions.map((name) => `alter table security.audit_logs detach partition security.${name} concurrently`),
    ...partitions.map((name) => `drop table security.${name}`),
    ...otherAttacks.filter((sql) => !/drop owned|drop function security.refuse_change|tables in/.test(sql)),
  ]

  test.each(surelyGuarded)('%s', async (sql) => {
    expect(await attack(await connect(database.admin), sql)).toBe(guarded)
    await expectUntouched()
  })

  test.each(['grant usage on schema security to public', 'revoke usage on schema security from verifier_role'])(
    '%s',
    async (sql) => {
      expect(await attack(await connect(database.admin), sql)).toBe(guarded)
    },
  )

  test('also where the session calls itself a replica', async () => {
    const admin = await connect(database.admin)
    await admin.query('set session_replication_role = replica')
    expect(await attack(admin, 'alter table security.tiles disable trigger refuse_change')).toBe(guarded)
    expect(await attack(admin, 'drop table security.tiles')).toBe(guarded)
  })

  test('also in a function, in a do block and within a repeatable-read transaction', async () => {
    const owner = await connectAsOwner(database.admin)
    const sql = 'alter table security.tiles disable trigger refuse_change'
    expect(await attack(owner, `do $$ begin execute '${sql}'; end $$`)).toBe(guarded)
    await owner.query('begin isolation level repeatable read')
    await owner.query('select 1')
    expect(await outcome(owner, sql)).toBe(guarded)
    await owner.query('rollback')
  })

  test('changes that are caught and swallowed are undone', async () => {
    const owner = await connectAsOwner(database.admin)
    await owner.query(
      `do $$ begin
         alter table security.tiles disable trigger refuse_change;
       exception when others then null; end $$`,
    )
    await expectUntouched()
  })
})

describe('what the guard lets pass', () => {
  test('temporary tables and tables elsewhere, with triggers, indexes and grants', async () => {
    const owner = await connectAsOwner(database.admin)
    for (const sql of [
      'create temp table t (n int)',
      'create table elsewhere.t (n int primary key, e bigint)',
      'create index concurrently on elsewhere.t (e)',
      'create trigger t before truncate on elsewhere.t for each statement execute function security.refuse_change()',
      'alter table elsewhere.t add column more text',
      'grant select on elsewhere.t to auditor_reader_role',
      'drop table elsewhere.t',
      'create view elsewhere.v as select tree_size from security.tree_heads',
      'drop view elsewhere.v',
      'comment on table security.tiles is $$full tiles$$',
      'analyze security.tree_heads',
      'vacuum security.tree_heads',
      'reindex table security.tree_heads',
    ]) {
      expect([sql, await outcome(owner, sql)]).toEqual([sql, 'ok'])
    }
  })

  test('a command that leaves the state as it was', async () => {
    const owner = await connectAsOwner(database.admin)
    const sql = `alter table security.tiles
      disable trigger refuse_change,
      enable always trigger refuse_change`
    expect(await outcomeUndone(owner, sql)).toBe('ok')
  })
})
