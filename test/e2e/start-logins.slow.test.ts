import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Environment, endAll, startServer, tryServer, waitUntilReady } from '../support/server-process.ts'
import { hasSystemPostgres, type SystemPostgres, startSystemPostgres } from '../support/system-postgres.ts'
import { createDatabase, expectRefused, prepareLogins } from './start-system.ts'
import { withClient } from './whole-log.ts'

let parent: string
let dataDir: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-logins-'))
  dataDir = join(parent, 'data')
})

afterEach(async () => {
  await endAll(dataDir)
  await rm(parent, { recursive: true, force: true })
})

describe.skipIf(!hasSystemPostgres)('on a PostgreSQL of the system', () => {
  let system: SystemPostgres
  let url: string
  let logins: Environment

  beforeAll(async () => {
    system = await startSystemPostgres()
    url = await createDatabase(system.url, 'first')
    logins = await prepareLogins(url, 'l_')
  })

  afterAll(() => system.stop())

  const admin = (statement: string): Promise<unknown> =>
    withClient({ connectionString: url }, (client) => client.query(statement))

  const loginOf = (name: string): URL => new URL(logins[`DENDROLOG_${name}_URL`] ?? '')

  test.each(['WRITER', 'READER', 'SIGNER', 'STATE'])(
    'a wrong password in DENDROLOG_%s_URL is refused at the start by the name of the setting',
    async (name) => {
      const wrong = loginOf(name)
      wrong.searchParams.set('password', 'not-it')
      const refusal = expectRefused(await tryServer(dataDir, { ...logins, [`DENDROLOG_${name}_URL`]: wrong.href }))
      expect(refusal).toMatch(new RegExp(`DENDROLOG_${name}_URL: password authentication failed.*; correct user`))
      expect(refusal).not.toContain('DATABASE_URL')
      expect(refusal).not.toContain('not-it')
    },
  )

  test('a login without a password ends at once, and says that there is none', async () => {
    const without = loginOf('READER')
    without.searchParams.delete('password')
    without.password = ''
    const refusal = expectRefused(await tryServer(dataDir, { ...logins, DENDROLOG_READER_URL: without.href }))
    expect(refusal).toMatch(/DENDROLOG_READER_URL: the database asks for a password and there is none/)
  })

  test('the login of another role, of a superuser, or to another database is refused by the name of the setting', async () => {
    const other = await tryServer(dataDir, { ...logins, DENDROLOG_STATE_URL: loginOf('READER').href })
    expect(expectRefused(other)).toMatch(/DENDROLOG_STATE_URL: l_auditor_reader_role is not l_app_state_role/)
    const superuser = await tryServer(dataDir, { ...logins, DENDROLOG_SIGNER_URL: url })
    expect(expectRefused(superuser)).toMatch(/DENDROLOG_SIGNER_URL: postgres is a superuser, want l_checkpoint_signer/)
    const elsewhere = loginOf('READER')
    elsewhere.pathname = 'postgres'
    const far = await tryServer(dataDir, { ...logins, DENDROLOG_READER_URL: elsewhere.href })
    expect(expectRefused(far)).toMatch(/DENDROLOG_READER_URL: .* no schema security in database postgres/)
  })

  test('a login of another name that inherits the role serves', async () => {
    await admin(`create role another login password 'pw' in role l_app_state_role`)
    const member = loginOf('STATE')
    member.searchParams.set('user', 'another')
    member.searchParams.set('password', 'pw')
    const server = await startServer(dataDir, { ...logins, DENDROLOG_STATE_URL: member.href })
    await waitUntilReady(server)
    expect(server.output()).toContain('is ready on')
    expect(await server.stop()).toBe(0)
  })

  test('a server whose login stops working is not ready until it works again', async () => {
    const environment = await prepareLogins(await createDatabase(system.url, 'second'), 'm_')
    const server = await startServer(dataDir, environment)
    await waitUntilReady(server)
    await admin('alter role m_app_state_role nologin')
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'm_app_state_role'`)
    const answer = await untilStatus(server.url, 503)
    expect(answer).toMatchObject({ status: 'not ready', problem: expect.stringContaining('logins state') })
    await admin('alter role m_app_state_role login')
    expect(await untilStatus(server.url, 200)).toMatchObject({ status: 'ready' })
    expect(server.output()).toMatch(/"problems":\["state: .*not permitted to log in/)
    expect(await server.stop()).toBe(0)
  })

  test('a log that cannot go on is announced as listening and NOT ready, with the reason', async () => {
    const environment = await prepareLogins(await createDatabase(system.url, 'third'), 'n_')
    expect(await (await startServer(dataDir, environment)).stop()).toBe(0)
    const cell = join(dataDir, 'signer-state.json')
    const state = await readFile(cell, 'utf8')
    await writeFile(cell, state.replace('"treeSize": 0', '"treeSize": 5'), { mode: 0o600 })
    const server = await startServer(dataDir, environment)
    expect(server.output()).toMatch(/is listening on http:\S+, NOT ready: ROLLBACK: the database ends at 0 entries/)
    expect(server.output()).not.toContain('is ready on')
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    expect(await server.stop()).toBe(0)
  })

  test('the roles of a log are not taken by another one, also while it does not run', async () => {
    const prefix = { DENDROLOG_ROLE_PREFIX: 'p_' }
    const fourth = { ...prefix, DATABASE_URL: await createDatabase(system.url, 'fourth') }
    expect(await (await startServer(dataDir, fourth)).stop()).toBe(0)
    const fifth = { ...prefix, DATABASE_URL: await createDatabase(system.url, 'fifth') }
    const refusal = expectRefused(await tryServer(join(parent, 'fifth'), fifth))
    expect(refusal).toMatch(
      /DENDROLOG_ROLE_PREFIX: the log in schema security of database fourth .* set another prefix/,
    )
    const again = await startServer(dataDir, fourth)
    await waitUntilReady(again)
    expect(await again.stop()).toBe(0)
    await withClient({ connectionString: fifth.DATABASE_URL }, async (client) => {
      const { rows } = await client.query(`select from pg_catalog.pg_namespace where nspname = 'security'`)
      expect(rows).toHaveLength(0)
    })
  })

  test('a log whose folder lost the passwords sets them anew, and roles that say nothing are left alone', async () => {
    const environment = { DENDROLOG_ROLE_PREFIX: 'q_', DATABASE_URL: await createDatabase(system.url, 'sixth') }
    expect(await (await startServer(dataDir, environment)).stop()).toBe(0)
    await rm(join(dataDir, 'keys', 'roles.json'))
    expect(await (await startServer(dataDir, environment)).stop()).toBe(0)
    await admin('comment on role q_ledger_owner_role is null')
    await rm(join(dataDir, 'keys', 'roles.json'))
    expect(expectRefused(await tryServer(dataDir, environment))).toMatch(/DENDROLOG_ROLE_PREFIX: .* log in .* already/)
  })

  test('a database or a login that commits before it flushes is refused by the name of what is off', async () => {
    await admin('create database eighth')
    await admin('alter database eighth set synchronous_commit = off')
    const eighth = new URL(url)
    eighth.pathname = 'eighth'
    const refusal = expectRefused(await tryServer(dataDir, { DATABASE_URL: eighth.href, DENDROLOG_ROLE_PREFIX: 's_' }))
    expect(refusal).toContain('the database has synchronous_commit = off: ')
    await admin('alter role l_checkpoint_signer_role set synchronous_commit = off')
    expect(expectRefused(await tryServer(dataDir, logins))).toContain('the database has synchronous_commit = off: ')
    await admin('alter role l_checkpoint_signer_role reset synchronous_commit')
  })

  test('a database that does not flush is refused unless a setting allows it', async () => {
    const environment = { DENDROLOG_ROLE_PREFIX: 'r_', DATABASE_URL: await createDatabase(system.url, 'seventh') }
    await admin('alter system set fsync = off')
    await admin('select pg_reload_conf()')
    try {
      const refusal = expectRefused(await tryServer(dataDir, environment))
      expect(refusal).toMatch(/DENDROLOG_ALLOW_UNSAFE_DATABASE: the database has fsync = off: /)
      expect(expectRefused(await tryServer(dataDir, logins))).toContain('fsync = off')
      const server = await startServer(dataDir, { ...environment, DENDROLOG_ALLOW_UNSAFE_DATABASE: 'true' })
      expect(await server.stop()).toBe(0)
    } finally {
      await admin('alter system reset fsync')
      await admin('select pg_reload_conf()')
    }
  })
})

/** What `/readyz` answers when it first has this status. */
async function untilStatus(url: string, status: number): Promise<unknown> {
  for (;;) {
    const answer = await fetch(`${url}/readyz`)
    const body: unknown = await answer.json()
    if (answer.status === status) return body
    await sleep(100)
  }
}
