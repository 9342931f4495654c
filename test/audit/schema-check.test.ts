import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readExpectedSchema } from '../../src/audit/expected-schema.ts'
import { SchemaCheck, type SchemaReview } from '../../src/audit/schema-check.ts'
import { withConnection } from '../../src/store/administrator.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { createRolePasswords, roleConfig, setRolePasswords } from '../../src/store/roles.ts'
import type { LogNames } from '../../src/store/schema-facts.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { copyOf } from '../support/database-copy.ts'
import { createNamedLog, migrationsFolder, type NamedLog } from '../support/described-schema.ts'

// A superuser changes what protects the evidence; who compares may read the catalog and nothing else.

const silent = (): void => {}
const names: LogNames = { schema: 'security', prefix: '' }

let home: TestDatabase
let copy: TestDatabase

beforeAll(async () => {
  home = await makeDatabase()
  await asSuperuser(home.admin, 'select security.ensure_partitions(200000)')
})
afterAll(() => home.drop())
beforeEach(async () => {
  copy = await copyOf(home)
})
afterEach(() => copy.drop())

function asSuperuser(admin: ClientConfig, ...statements: readonly string[]): Promise<void> {
  return withConnection(admin, silent, async (client) => {
    for (const statement of statements) await client.query(statement)
  })
}

const guards = (schema: string, state: string): string =>
  ['start', 'end', 'drop'].map((name) => `alter event trigger ${schema}_guard_${name} ${state};`).join(' ')

/** With the guard switched off, and on again when it is done. */
function tamper(...statements: readonly string[]): Promise<void> {
  return asSuperuser(copy.admin, guards('security', 'disable'), ...statements, guards('security', 'enable always'))
}

async function review(login: ClientConfig = copy.as('auditor_reader_role'), of = names): Promise<SchemaReview> {
  const check = new SchemaCheck(await readExpectedSchema(join(migrationsFolder, 'schema.json')), of)
  const session = await openReadSession(login)
  try {
    return await check.review(session.query)
  } finally {
    await session.close()
  }
}

const brief = ({ findings }: SchemaReview): unknown[] =>
  findings.map((finding) => ('object' in finding ? [finding.kind, finding.object, finding.reason] : finding))

const tampered = (object: string, reason: string): unknown[] => [
  'SCHEMA_TAMPERED',
  object,
  expect.stringContaining(reason),
]

describe('a schema that nobody touched', () => {
  test('is what the migrations make, also for the verifier, and with more partitions', async () => {
    const nothing = { findings: [], notChecked: [], unknown: undefined }
    expect(await review()).toEqual(nothing)
    await asSuperuser(copy.admin, 'select security.ensure_partitions(600000)')
    expect(await review(copy.as('verifier_role'))).toEqual(nothing)
  })

  test('is that while partitions are made', async () => {
    const making = (async () => {
      for (let i = 4; i < 12; i++) await asSuperuser(copy.admin, `select security.ensure_partitions(${i * 65_536})`)
    })()
    const found: unknown[] = []
    for (let i = 0; i < 8; i++) found.push(...brief(await review()))
    await making
    expect(found).toEqual([])
  })

  test('with other tables beside it, and statistics, is that', async () => {
    await asSuperuser(
      copy.admin,
      'create table public.other (n int)',
      'create table security_state.other (n int)',
      'analyze',
      'vacuum security.tiles',
    )
    expect(brief(await review())).toEqual([])
  })
})

const ledger = 'security.audit_logs'
const partition = 'security.audit_logs_p0000000000065537'

/** What is done, how, and which object is named with what. */
type Tampering = readonly [what: string, statements: string, object: string, reason: string]

const tamperings: readonly Tampering[] = [
  // Triggers
  [
    'a trigger disabled',
    'alter table security.tiles disable trigger refuse_change',
    'security.tiles',
    'trigger refuse_change is "disabled',
  ],
  [
    'a trigger enabled, but not always',
    'alter table security.tiles enable trigger refuse_change',
    'security.tiles',
    'trigger refuse_change is "enabled type',
  ],
  [
    'a trigger dropped',
    'drop trigger refuse_truncate on security.checkpoints',
    'security.checkpoints',
    'trigger refuse_truncate is gone',
  ],
  [
    'a trigger added',
    'create trigger more before insert on security.tiles for each row execute function security.refuse_change()',
    'security.tiles',
    'trigger more was added',
  ],
  [
    'triggers of the ledger disabled',
    `alter table ${ledger} disable trigger refuse_change`,
    ledger,
    'trigger refuse_change is "disabled',
  ],
  [
    'a trigger of a partition disabled',
    `alter table ${partition} disable trigger refuse_truncate`,
    partition,
    'trigger refuse_truncate is "disabled',
  ],
  [
    'triggers of foreign keys disabled',
    'alter table security.checkpoints disable trigger all ;; alter table security.checkpoints enable always trigger refuse_change ;; alter table security.checkpoints enable always trigger refuse_truncate ;; alter table security.checkpoints enable always trigger check_checkpoint',
    'security.checkpoints',
    'trigger RI_FKey_check_ins is "disabled',
  ],
  // Functions
  [
    'a body replaced',
    `create or replace function security.refuse_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as 'begin return old; end'`,
    'security.refuse_change()',
    'body was changed',
  ],
  [
    'a body of the guard replaced',
    `create or replace function security_guard.permitted() returns boolean language sql stable set search_path = pg_catalog, pg_temp begin atomic select true; end`,
    'security_guard.permitted()',
    'body',
  ],
  [
    'a function without its setting',
    'alter function security.writer_head() reset all',
    'security.writer_head()',
    'setting search_path is gone',
  ],
  [
    'a function that runs with other rights',
    'alter function security.refuse_change() security definer',
    'security.refuse_change()',
    'declaration is',
  ],
  [
    'a function of another owner',
    'alter function security.writer_head() owner to app_writer_role',
    'security.writer_head()',
    'owner is "app_writer_role"',
  ],
  [
    'a function for everybody',
    'grant execute on function security.create_partition(bigint) to public',
    'security.create_partition(bigint)',
    'grant EXECUTE to public was added',
  ],
  [
    'a function dropped',
    'drop function security.newest_ids(uuid, integer)',
    'security.newest_ids(uuid, integer)',
    'is gone',
  ],
  [
    'a function beside ours',
    `create function security.newest_ids(text, integer) returns int language sql as 'select 1' ;; revoke all on function security.newest_ids(text, integer) from public`,
    'security.newest_ids(text, integer)',
    'was not made by a migration',
  ],
  // Columns, constraints, indexes
  ['a column dropped', `alter table ${ledger} drop column client_ip`, ledger, 'column client_ip is gone'],
  ['a column added', `alter table ${ledger} add column more text`, ledger, 'column more was added: text'],
  [
    'the type of a column changed',
    `alter table ${ledger} alter column actor_id type text`,
    ledger,
    'column actor_id is "text not null", not "character varying(255) not null"',
  ],
  [
    'a column that may be null',
    'alter table security.tree_heads alter column seal drop not null',
    'security.tree_heads',
    'column seal is "bytea"',
  ],
  [
    'a default',
    `alter table security.tree_heads alter column seal set default ''`,
    'security.tree_heads',
    'column seal is',
  ],
  [
    'a constraint dropped',
    'alter table security.tree_heads drop constraint tree_heads_growth_check',
    'security.tree_heads',
    'constraint tree_heads_growth_check is gone',
  ],
  [
    'a constraint that says something else',
    'alter table security.tree_heads drop constraint tree_heads_growth_check, add constraint tree_heads_growth_check check (tree_size > 0)',
    'security.tree_heads',
    'constraint tree_heads_growth_check is',
  ],
  [
    'a constraint of a partition dropped',
    `alter table ${partition} add constraint more check (sequence_number < 5)`,
    partition,
    'constraint more was added',
  ],
  [
    'a foreign key dropped',
    'alter table security.checkpoints drop constraint checkpoints_tree_size_root_hash_fkey',
    'security.checkpoints',
    'checkpoints_tree_size_root_hash_fkey is gone',
  ],
  [
    'a key dropped',
    'alter table security.tree_heads drop constraint tree_heads_previous_size_key',
    'security.tree_heads',
    'tree_heads_previous_size_key is gone',
  ],
  ['an index made', 'create unique index more on security.tiles (level)', 'security.tiles', 'index more was added'],
  // Tables
  ['a table renamed', 'alter table security.tiles rename to tiles_gone', 'security.tiles', 'is gone'],
  ['a table elsewhere', 'alter table security.anchors set schema public', 'security.anchors', 'is gone'],
  [
    'a view in the place of a table',
    'alter table security.tiles rename to tiles_gone ;; create view security.tiles as select * from security.tiles_gone',
    'security.tiles',
    'kind is "view", not "table"',
  ],
  [
    'a table that a crash empties',
    'alter table security.findings set unlogged',
    'security.findings',
    'kind is "unlogged table", not "table"',
  ],
  [
    'a table of another owner',
    'alter table security.entry_ids owner to app_writer_role',
    'security.entry_ids',
    'owner is "app_writer_role"',
  ],
  [
    'a rule',
    'create rule silent as on insert to security.quarantine do instead nothing',
    'security.quarantine',
    'rule silent was added',
  ],
  [
    'row security',
    'alter table security.entry_ids enable row level security',
    'security.entry_ids',
    'row security was added: on',
  ],
  [
    'a policy',
    'create policy hidden on security.entry_ids using (false)',
    'security.entry_ids',
    'policy hidden was added',
  ],
  [
    'a child',
    'create table public.child () inherits (security.entry_ids)',
    'security.entry_ids',
    'child public.child was added',
  ],
  // Rights
  [
    'a right of the writer',
    'grant update on security.audit_logs to app_writer_role',
    ledger,
    'grant UPDATE to app_writer_role was added',
  ],
  [
    'a right of everybody',
    'grant select on security.quarantine to public',
    'security.quarantine',
    'grant SELECT to public was added',
  ],
  [
    'a right on a column',
    'grant select (payload) on security.audit_logs to checkpoint_signer_role',
    ledger,
    'grant SELECT (payload) to checkpoint_signer_role was added',
  ],
  [
    'a right on a partition',
    `grant select on ${partition} to auditor_reader_role`,
    partition,
    'grant SELECT to auditor_reader_role was added',
  ],
  [
    'a right that was taken',
    'revoke select on security.quarantine from verifier_role',
    'security.quarantine',
    'grant SELECT to verifier_role is gone',
  ],
  [
    'rights of tables to come',
    'alter default privileges for role ledger_owner_role grant delete on tables to public',
    'default privileges of ledger_owner_role',
    'was not made by a migration',
  ],
  [
    'a right on the schema',
    'grant create on schema security to app_writer_role',
    'schema security',
    'grant CREATE to app_writer_role was added',
  ],
  [
    'a schema of another owner',
    'alter schema security owner to app_writer_role',
    'schema security',
    'owner is "app_writer_role"',
  ],
  // Partitions
  [
    'a partition detached',
    `alter table ${ledger} detach partition ${partition}`,
    partition,
    'attachment to security.audit_logs is gone',
  ],
  ['a partition dropped', `drop table ${partition}`, partition, 'is gone'],
  // The guard
  [
    'a view of the guard replaced',
    `create or replace view security_guard.posture as select relation, facts from security_guard.grants where false`,
    'security_guard.posture',
    'definition was changed',
  ],
  [
    'the permits without their trigger',
    'drop trigger permit_ended on security_guard.permits',
    'security_guard.permits',
    'trigger permit_ended is gone',
  ],
]

/** In as few copies as there are things done to one object. */
function inRounds(all: readonly Tampering[]): Tampering[][] {
  const rounds: Tampering[][] = []
  for (const tampering of all) {
    const round = rounds.find((each) => each.every(([, , object]) => object !== tampering[2]))
    if (round === undefined) rounds.push([tampering])
    else round.push(tampering)
  }
  return rounds
}

describe('what a superuser does is named:', () => {
  test.each(inRounds(tamperings).map((round) => [round.map(([what]) => what).join(', '), round] as const))(
    '%s',
    async (_, round) => {
      await tamper(...round.flatMap(([, statements]) => statements.split(' ;; ')))
      const want = round.map(([, , object, reason]) => tampered(object, reason))
      expect(brief(await review())).toEqual(want.sort(([, a], [, b]) => (String(a) < String(b) ? -1 : 1)))
    },
  )

  test('a partition of another name, which is one that the ledger must not have', async () => {
    await tamper(`alter table ${partition} rename to other`)
    expect(brief(await review())).toEqual([
      tampered(partition, 'is gone'),
      tampered('security.other', 'was not made by a migration'),
    ])
  })

  test('a partition that is no partition of ours', async () => {
    await tamper(`create table public.rest partition of ${ledger} default`)
    expect(brief(await review())).toEqual([tampered('public.rest', 'was not made by a migration')])
  })

  test('many things, each by its object', async () => {
    await tamper(
      'alter table security.tiles disable trigger refuse_change',
      'alter table security.tiles disable trigger refuse_truncate',
      'grant update on security.anchors to app_writer_role',
    )
    expect(brief(await review())).toEqual([
      tampered('security.anchors', 'grant UPDATE'),
      tampered('security.tiles', 'trigger refuse_change is "disabled'),
    ])
  })

  test.each([
    ['disabled', 'alter event trigger security_guard_end disable', 'state is "disabled", not "enabled always"'],
    ['enabled, but not always', 'alter event trigger security_guard_end enable', 'state is "enabled"'],
    ['dropped', 'drop event trigger security_guard_end', 'is gone'],
    ['renamed', 'alter event trigger security_guard_end rename to other', 'is gone'],
  ])('an event trigger %s', async (_, statement, reason) => {
    await asSuperuser(copy.admin, statement)
    expect(brief(await review())).toEqual([tampered('event trigger security_guard_end', reason)])
  })

  test('all event triggers dropped, where they could be made', async () => {
    await asSuperuser(
      copy.admin,
      ...['start', 'end', 'drop'].map((name) => `drop event trigger security_guard_${name}`),
    )
    expect((await review()).findings).toHaveLength(3)
  })

  test('what the database sets for a role or for all', async () => {
    await asSuperuser(
      copy.admin,
      `do $$ begin
         execute format('alter database %I set session_replication_role = replica', current_database());
         execute format('alter role app_writer_role in database %I set session_replication_role = replica', current_database());
         execute format('alter role app_writer_role in database %I set work_mem = 4096', current_database());
       end $$`,
    )
    expect(brief(await review())).toEqual([
      tampered('setting session_replication_role of role app_writer_role', 'was not made by a migration: replica'),
      tampered('setting session_replication_role of the database', 'was not made by a migration: replica'),
    ])
  })

  test('has settings that put other names before PostgreSQL’s own, and no others of names', async () => {
    await asSuperuser(
      copy.admin,
      `do $$ begin
         execute format('alter database %I set search_path = "$user", public', current_database());
         execute format('alter role verifier_role in database %I set search_path = pg_catalog, security', current_database());
         execute format('alter role auditor_reader_role in database %I set search_path = other, pg_catalog', current_database());
       end $$`,
    )
    expect(brief(await review())).toEqual([
      tampered('setting search_path of role auditor_reader_role', 'was not made by a migration: other, pg_catalog'),
    ])
  })

  test('has tables of incidents and alarms that keep what is written to them', async () => {
    await asSuperuser(
      copy.admin,
      `create function public.swallow() returns trigger language plpgsql as 'begin return null; end';
       create trigger swallow before insert on security_state.alarms for each row execute function public.swallow();
       create rule nothing as on insert to security_state.opened_incidents do instead nothing;
       grant delete on security_state.incidents to application_role;
       create table security_state.of_somebody (n integer)`,
    )
    expect(brief(await review())).toEqual([
      tampered('security_state.alarms', 'trigger swallow was added: enabled type 7 with 0 public.swallow'),
      tampered('security_state.incidents', 'grant DELETE to application_role was added: given'),
      tampered('security_state.opened_incidents', 'rule nothing was added: enabled'),
    ])
  })
})

describe('a log of other names', () => {
  let log: NamedLog
  let reader: ClientConfig

  beforeAll(async () => {
    log = await createNamedLog('books')
    await log.migrate()
    const passwords = createRolePasswords()
    await setRolePasswords(log.admin, log.names.prefix, passwords, silent)
    reader = roleConfig(log.admin, log.names.prefix, 'auditor_reader_role', passwords)
  })
  afterAll(() => log.drop())

  const check = (): Promise<SchemaReview> => review(reader, log.names)

  test('is what the migrations make', async () => {
    expect(await check()).toEqual({ findings: [], notChecked: [], unknown: undefined })
  })

  // Of roles, which are the server's: these are nobody else's.
  test.each([
    [
      'a superuser',
      'alter role P_verifier_role superuser',
      'alter role P_verifier_role nosuperuser',
      'verifier_role',
      'attribute superuser was added',
    ],
    [
      'one past row security',
      'alter role P_app_writer_role bypassrls',
      'alter role P_app_writer_role nobypassrls',
      'app_writer_role',
      'attribute bypassrls was added',
    ],
    [
      'a maker of roles',
      'alter role P_app_writer_role createrole',
      'alter role P_app_writer_role nocreaterole',
      'app_writer_role',
      'attribute createrole was added',
    ],
    [
      'an owner who logs in',
      'alter role P_ledger_owner_role login',
      'alter role P_ledger_owner_role nologin',
      'ledger_owner_role',
      'attribute login was added',
    ],
    [
      'a member of the owner',
      'grant P_ledger_owner_role to P_app_writer_role',
      'revoke P_ledger_owner_role from P_app_writer_role',
      'app_writer_role',
      'membership of P_ledger_owner_role was added',
    ],
    [
      'a reader of everything',
      'grant pg_read_all_data to P_app_writer_role',
      'revoke pg_read_all_data from P_app_writer_role',
      'app_writer_role',
      'membership of pg_read_all_data was added',
    ],
    [
      'another member of the owner',
      'create role P_other; grant P_ledger_owner_role to P_other',
      'drop role P_other',
      'ledger_owner_role',
      'member P_other was added',
    ],
    [
      'no member of its role',
      'revoke P_app_writer_role from P_application_role',
      'grant P_app_writer_role to P_application_role',
      'application_role',
      'membership of P_app_writer_role is gone',
    ],
  ])('has a role that is %s', async (_, statement, undo, role, reason) => {
    const { prefix } = log.names
    const own = (text: string): string => text.replaceAll('P_', prefix)
    await asSuperuser(log.admin, ...own(statement).split('; '))
    try {
      const found = brief(await check())
      expect(found).toContainEqual(tampered(`role ${prefix}${role}`, own(reason)))
    } finally {
      await asSuperuser(log.admin, own(undo))
    }
    expect(brief(await check())).toEqual([])
  })

  test('has what is set for a role everywhere', async () => {
    const role = `${log.names.prefix}app_writer_role`
    await asSuperuser(log.admin, `alter role ${role} set session_replication_role = replica`)
    const found = brief(await check())
    await asSuperuser(log.admin, `alter role ${role} reset session_replication_role`)
    expect(found).toEqual([tampered(`setting session_replication_role of role ${role}`, 'replica')])
  })

  test('whose guard could not be made is told, and is no finding', async () => {
    // As on a managed service: the administrator owns the database, and is no superuser.
    const { schema, prefix } = log.names
    const admin = `${prefix}admin`
    await asSuperuser(
      log.admin,
      ...['start', 'end', 'drop'].map((name) => `drop event trigger ${schema}_guard_${name}`),
      `create role ${admin} createrole`,
      `do $$ begin execute format('alter database %I owner to ${admin}', current_database()); end $$`,
      `alter schema ${schema}_guard owner to ${admin}`,
    )
    try {
      expect(await check()).toEqual({
        findings: [],
        notChecked: [expect.stringContaining('the guard against DDL')],
        unknown: undefined,
      })
    } finally {
      await asSuperuser(log.admin, `reassign owned by ${admin} to current_user`, `drop role ${admin}`)
    }
  })
})

describe('another schema than the one of this program', () => {
  test.each([10, 13, 17])('of migration %i is not checked until it is migrated', async (migration) => {
    const log = await createNamedLog('books')
    try {
      await log.migrate(migration)
      expect(await review(log.admin, log.names)).toEqual({
        findings: [],
        notChecked: [],
        unknown: expect.stringMatching(/^the schema: it is the one before migration \d+; run dendrolog migrate$/),
      })
      await asSuperuser(log.admin, `alter event trigger books_guard_end disable`)
      expect((await review(log.admin, log.names)).findings).not.toEqual([])
      await asSuperuser(log.admin, `alter event trigger books_guard_end enable always`)
      await log.migrate()
      expect(await review(log.admin, log.names)).toEqual({ findings: [], notChecked: [], unknown: undefined })
    } finally {
      await log.drop()
    }
  })

  test('of a newer migration is not checked', async () => {
    await tamper('alter table security.tiles add column more text')
    expect((await review()).findings).toHaveLength(1)
    await tamper(`comment on table security.schema_migrations is 'dendrolog: migration 999'`)
    expect(await review()).toEqual({
      findings: [],
      notChecked: [],
      unknown: expect.stringMatching(/^the schema: it is of migration 999, this program knows \d+$/),
    })
  })
})
