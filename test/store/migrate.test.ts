import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { withConnection, withDatabase, withLogin } from '../../src/store/administrator.ts'
import { findPending, type Migration, migrate } from '../../src/store/migrate.ts'
import {
  createRolePasswords,
  loadOrCreateRoles,
  loginRoles,
  roleConfig,
  scramVerifier,
  setRolePasswords,
} from '../../src/store/roles.ts'
import { makeDatabase } from '../support/database.ts'

const silent = (): void => {}

let directory: string
let config: ClientConfig
let name: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dendrolog-migrations-'))
  name = `dendrolog_test_${randomBytes(6).toString('hex')}`
  const { admin } = inject('cluster')
  await withConnection(admin, silent, (client) => client.query(`create database ${name}`))
  config = withDatabase(admin, name)
})

afterEach(async () => {
  await withConnection(inject('cluster').admin, silent, (client) => client.query(`drop database ${name} with (force)`))
  await rm(directory, { recursive: true })
})

function file(name: string, sql: string): Promise<void> {
  return writeFile(join(directory, name), sql)
}

function run(log: (message: string) => void = silent): Promise<readonly Migration[]> {
  return migrate(config, { directory, schema: 'proof', prefix: 'p_', log })
}

async function read(sql: string): Promise<Record<string, unknown>[]> {
  return withConnection(config, silent, async (client) => (await client.query(sql)).rows)
}

describe('migrate', () => {
  test('files are applied once, in order, with both placeholders filled', async () => {
    await file(
      '0001_first.sql',
      "create table {{schema}}.t (n int); comment on table {{schema}}.t is '{{prefix}}role';",
    )
    await file('0002_second.sql', 'insert into {{schema}}.t values (2);')
    expect((await run()).map(({ version, name }) => [version, name])).toEqual([
      [1, 'first'],
      [2, 'second'],
    ])
    expect(await run()).toEqual([])
    await file('0003_third.sql', 'insert into {{schema}}.t values (3);')
    expect((await run()).map(({ version }) => version)).toEqual([3])
    expect(await read("select n, obj_description('proof.t'::regclass) as said from proof.t order by n")).toEqual([
      { n: 2, said: 'p_role' },
      { n: 3, said: 'p_role' },
    ])
  })

  test('an edited file is refused by name', async () => {
    await file('0001_first.sql', 'create table {{schema}}.t (n int);')
    await run()
    await file('0001_first.sql', 'create table {{schema}}.t (n int); ')
    await expect(run()).rejects.toMatchObject({ code: 'edited', file: '0001_first.sql' })
  })

  test('a failing file leaves nothing of itself and all before it', async () => {
    await file('0001_first.sql', 'create table {{schema}}.t (n int);')
    await file('0002_second.sql', 'insert into {{schema}}.t values (1);\nselect 1;\nselect from nowhere;')
    await expect(run()).rejects.toMatchObject({
      code: 'failed',
      message: 'migration 0002_second.sql: relation "nowhere" does not exist (line 3)',
    })
    expect(await read('select n from proof.t')).toEqual([])
    await file('0002_second.sql', 'insert into {{schema}}.t values (1);')
    expect((await run()).map(({ version }) => version)).toEqual([2])
  })

  test('a file that ends its transaction is refused', async () => {
    await file('0001_first.sql', 'commit; begin;')
    await expect(run()).rejects.toMatchObject({ code: 'failed', message: /ends the transaction/ })
  })

  test('a gap, a name of another form and an unknown placeholder are refused before anything is done', async () => {
    await file('0001_first.sql', 'create table {{schema}}.t (n int);')
    await file('0003_third.sql', 'select 1;')
    await expect(run()).rejects.toMatchObject({ code: 'malformed', file: '0003_third.sql' })
    await rm(join(directory, '0003_third.sql'))
    await file('2_second.sql', 'select 1;')
    await expect(run()).rejects.toMatchObject({ code: 'malformed', file: '2_second.sql' })
    await rm(join(directory, '2_second.sql'))
    await file('0002_second.sql', 'select {{sheme}};')
    await expect(run()).rejects.toMatchObject({ code: 'malformed', file: '0002_second.sql' })
    expect(await read("select to_regclass('proof.schema_migrations')::text as found")).toEqual([{ found: null }])
  })

  test('an empty folder and names that would need quotes are refused', async () => {
    await expect(run()).rejects.toMatchObject({ code: 'malformed' })
    for (const schema of ['', 'Proof', '1st', 'a b', 'x"', `a${'b'.repeat(31)}`]) {
      await expect(migrate(config, { directory, schema, prefix: '', log: silent })).rejects.toThrow(/^schema: got/)
    }
    await expect(migrate(config, { directory, schema: 'a', prefix: 'x-', log: silent })).rejects.toThrow(/^prefix/)
  })

  test('notices reach the log with the name of their file', async () => {
    await file('0001_first.sql', "do $$ begin raise warning 'no event triggers here'; end $$;")
    const messages: string[] = []
    await run((message) => messages.push(message))
    expect(messages).toEqual(['0001_first.sql: WARNING: no event triggers here'])
  })

  test('four migrations at once apply each file once', async () => {
    await file('0001_first.sql', 'create table {{schema}}.t (n int); select pg_sleep(0.2);')
    const applied = await Promise.all([run(), run(), run(), run()])
    expect(applied.map((list) => list.length).sort()).toEqual([0, 0, 0, 1])
  })

  test('a permit row stands for the time of a file and no longer', async () => {
    await file(
      '0001_guard.sql',
      'create schema {{schema}}_guard; create table {{schema}}_guard.permits (backend_pid int, txid bigint, reason text);',
    )
    await file(
      '0002_seen.sql',
      'create table {{schema}}.seen as select *, txid_current() as now from {{schema}}_guard.permits;',
    )
    await run()
    expect(await read('select reason, txid = now as same from proof.seen')).toEqual([
      { reason: 'migration 0002_seen.sql', same: true },
    ])
    expect(await read('select from proof_guard.permits')).toEqual([])
  })

  test('others may not read the bookkeeping', async () => {
    await file('0001_first.sql', 'grant usage on schema {{schema}} to public;')
    await run()
    const grants = "select has_table_privilege('pg_monitor', 'proof.schema_migrations', 'select') as granted"
    expect(await read(grants)).toEqual([{ granted: false }])
  })
})

describe('findPending', () => {
  const migration = (version: number, name = 'x') => ({
    version,
    name,
    sha256: new Uint8Array(32),
    file: `${String(version).padStart(4, '0')}_${name}.sql`,
  })

  test('an applied migration without its file is refused', () => {
    const applied = [migration(1), migration(2)]
    expect(() => findPending(applied, [migration(1), migration(3)])).toThrow('0002_x.sql: is applied, but its file is')
    expect(() => findPending(applied, [migration(1), migration(2, 'y')])).toThrow('but the file is 0002_y.sql')
  })

  test('a database that is newer than the program is refused', () => {
    expect(() => findPending([migration(1), migration(2)], [migration(1)])).toThrow('0002_x.sql: is applied, but this')
  })

  test('a file that was slipped in before an applied one is refused', () => {
    expect(() =>
      findPending(
        [migration(1), migration(3)],
        [1, 2, 3].map((n) => migration(n)),
      ),
    ).toThrow('migration 0002_x.sql: is not applied, but 3 is')
  })
})

describe('the roles', () => {
  test('each role logs in as itself, to the database that was made for the test', async () => {
    const database = await makeDatabase()
    for (const role of loginRoles) {
      const rows = await withConnection(database.as(role), silent, async (client) => {
        return (await client.query('select session_user::text as who, current_database() as place')).rows
      })
      expect(rows).toEqual([{ who: role, place: database.admin.database ?? expect.any(String) }])
    }
    await database.drop()
  })

  test('a verifier made here is what the server makes of the password', async () => {
    const role = `t_${randomBytes(6).toString('hex')}`
    await withConnection(config, silent, async (client) => {
      await client.query(`create role ${role} login password 'wood'`)
      const { rows } = await client.query('select rolpassword from pg_authid where rolname = $1', [role])
      const stored = rows[0]?.rolpassword as string
      const salt = Buffer.from(/:([^$]+)\$/.exec(stored)?.[1] ?? '', 'base64')
      expect(scramVerifier('wood', salt)).toBe(stored)
      await client.query(`drop role ${role}`)
    })
  })

  test('roles of another prefix get their own passwords, and a wrong one is refused', async () => {
    const prefix = `t${randomBytes(4).toString('hex')}_`
    const create = loginRoles.map((role) => `create role ${prefix}${role};`).join('')
    const remove = loginRoles.map((role) => `drop role ${prefix}${role};`).join('')
    await withConnection(config, silent, (client) => client.query(create))
    const passwords = createRolePasswords()
    await setRolePasswords(config, prefix, passwords, silent)
    const writer = roleConfig(config, prefix, 'app_writer_role', passwords)
    await withConnection(writer, silent, (client) => client.query('select 1'))
    const wrong = roleConfig(config, prefix, 'app_writer_role', { ...passwords, app_writer_role: 'wrong' })
    await expect(new Client(wrong).connect()).rejects.toMatchObject({ code: '28P01' })
    await withConnection(config, silent, (client) => client.query(remove))
  })

  test('the file of passwords is 0600, stays the same, and is refused once others may read it', async () => {
    const path = join(directory, 'roles.json')
    const made = await loadOrCreateRoles(path)
    expect((await stat(path)).mode % 0o1000).toBe(0o600)
    expect(await loadOrCreateRoles(path)).toEqual(made)
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(made)
    expect(new Set(Object.values(made)).size).toBe(loginRoles.length)
    await chmod(path, 0o640)
    await expect(loadOrCreateRoles(path)).rejects.toThrow('others may read it (mode 640)')
  })

  test('a role that the file lacks is added, and a file of another form is refused', async () => {
    const path = join(directory, 'roles.json')
    await writeFile(path, '{"app_writer_role": "kept"}', { mode: 0o600 })
    const passwords = await loadOrCreateRoles(path)
    expect(passwords.app_writer_role).toBe('kept')
    expect(await loadOrCreateRoles(path)).toEqual(passwords)
    await writeFile(path, '{"app_writer_role": 7}')
    await expect(loadOrCreateRoles(path)).rejects.toThrow('want a JSON object of passwords')
  })
})

describe('another database or login', () => {
  test('of a URL replaces only that part, also where the URL has no host', () => {
    const url = (text: string): ClientConfig => ({ connectionString: text })
    expect(withDatabase(url('postgres://a:b@h:1/x?sslmode=require'), 'y')).toEqual(
      url('postgres://a:b@h:1/y?sslmode=require'),
    )
    const socket = withLogin(url('postgres:///x?host=/run/pg'), 'u', 'p/w')
    const client = new Client(socket)
    expect([client.host, client.user, client.password, client.database]).toEqual(['/run/pg', 'u', 'p/w', 'x'])
    const moved = new Client(withLogin(url('postgres://a:b@h:1/x'), 'u', 'p'))
    expect([moved.host, moved.user, moved.password, moved.database]).toEqual(['h', 'u', 'p', 'x'])
  })
})
