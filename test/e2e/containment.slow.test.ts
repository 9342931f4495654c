import { chown, cp, lchown, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openCluster } from '../../src/store/embedded.ts'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import {
  adminConfig,
  endAll,
  type ServerProcess,
  startServer,
  tryServer,
  waitUntilReady,
} from '../support/server-process.ts'

// What a server does about an incident on its own, with a superuser who changes a row.

let folder: string
let dataDir: string
let hook: Receiver
beforeEach(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  hook = await openReceiver()
})
afterEach(async () => {
  await endAll(dataDir)
  await hook.close()
  await removeFolder(folder)
})

const settings = (containment: string): Readonly<Record<string, string>> => ({
  ...{ DENDROLOG_CONTAINMENT: containment, DENDROLOG_VERIFY_PROBE_SECONDS: '1', DENDROLOG_PUBLIC_METRICS: 'true' },
  ...{ DENDROLOG_WEBHOOK_URL: hook.url, DENDROLOG_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}` },
})

function append({ url, tokens }: ServerProcess, wait = 'published'): Promise<Response> {
  return fetch(`${url}/v1/entries?wait=${wait}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.writer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { secret: 'do not show' } }),
  })
}

async function asSuperuser<R>(statement: string): Promise<readonly R[]> {
  const client = new Client(await adminConfig(dataDir))
  await client.connect()
  try {
    const results: unknown = await client.query(statement)
    return (results as { rows: readonly R[] }).rows
  } finally {
    await client.end()
  }
}

/** With triggers off for this session alone, so that nothing else is found. */
async function tamper(): Promise<void> {
  await asSuperuser(`set session_replication_role = replica;
    do $$ declare name text; begin
      for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I disable', name); end loop;
      alter table security.audit_logs_p0000000000000001 disable trigger refuse_change;
      update security.audit_logs set payload = '{"secret": "altered"}' where sequence_number = 2;
      alter table security.audit_logs_p0000000000000001 enable always trigger refuse_change;
      for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I enable always', name); end loop;
    end $$`)
}

type Incident = { readonly id: string; readonly containment: readonly Done[] | null }
type Done = { readonly measure: string; readonly isDone: boolean; readonly detail: string }

/** Starts a server with three entries, lets one be changed, and waits until that is contained. */
async function contained(
  containment: string,
  others: Readonly<Record<string, string>> = {},
): Promise<{ server: ServerProcess; incident: Incident }> {
  const server = await startServer(dataDir, { ...settings(containment), ...others })
  await waitUntilReady(server)
  for (let i = 0; i < 3; i++) expect((await append(server)).status).toBe(201)
  await until(
    async () => /^dendrolog_verified_size 3$/m.test(await (await fetch(`${server.url}/metrics`)).text()),
    () => server.output(),
  )
  await tamper()
  return { server, incident: await untilContained(server) }
}

async function untilContained(server: ServerProcess): Promise<Incident> {
  let found: Incident | undefined
  await until(
    async () => {
      const rows = await asSuperuser<Incident>(
        `select id, containment from security_state.opened_incidents where violation_type = 'PAYLOAD_CORRUPT'`,
      )
      found = rows[0]
      return found !== undefined && found.containment !== null
    },
    () => server.output().slice(-3_000),
    90_000,
  )
  if (found === undefined) throw new Error('no incident')
  return found
}

const incident = (...args: readonly string[]): ReturnType<typeof run> =>
  run(['incident', ...args], { DENDROLOG_DATA_DIR: dataDir })

test('the last good checkpoint is kept, and named in incident, log, alarm and an entry', async () => {
  const { server, incident: found } = await contained('pin-checkpoint')
  expect(found.containment).toMatchObject([{ measure: 'pin-checkpoint', isDone: true }])
  const kept = join(dataDir, 'forensics', found.id)
  const note = await readFile(join(kept, 'checkpoint'), 'utf8')
  const [origin, size] = note.split('\n')
  expect(origin).toMatch(/^localhost\//)
  expect(found.containment?.[0]?.detail).toContain(`of ${size} entries`)
  expect((await stat(kept)).mode % 0o1000).toBe(0o700)
  const shown = await incident('show', found.id)
  expect(shown.stdout).toMatch(/^contained pin-checkpoint: checkpoint \d+ of \d+ entries/m)
  expect(server.output()).toContain('an incident was contained')
  await until(
    () => hook.received.some(({ body }) => body.includes('"incident.contained"')),
    () => 'an alarm of the containment',
  )
  expect(hook.received.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual([
    'incident.opened',
    'incident.contained',
  ])
  await until(
    async () =>
      (await asSuperuser(`select from security.audit_logs where action = 'dendrolog.incident.contain'`)).length === 1,
    () => 'an entry',
  )
  expect((await append(server)).status).toBe(201)
}, 180_000)

test('a snapshot is kept: rows as they were, a database that starts from the copy, and what a command keeps', async () => {
  const told = join(folder, 'told')
  const command = { DENDROLOG_SNAPSHOT_COMMAND: JSON.stringify(['/bin/sh', '-c', `cat > ${told}`]) }
  const { server, incident: found } = await contained('snapshot', command)
  const [done] = found.containment ?? []
  expect(done).toMatchObject({ measure: 'snapshot', isDone: true })
  expect(done?.detail).toMatch(/^export: \d+ files, .*; base backup: \d+ files, .*; command: \/bin\/sh is done$/)
  const kept = join(dataDir, 'forensics', found.id)
  expect(JSON.parse(await readFile(told, 'utf8'))).toMatchObject({
    ...{ incident: found.id, folder: kept },
    finding: { violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 2 },
  })

  const rows = (await readFile(join(kept, 'export', 'audit-logs-from.jsonl'), 'utf8')).split('\n')
  expect(JSON.parse(rows[0] ?? '')).toMatchObject({ row: { sequence_number: 2, payload: { secret: 'altered' } } })
  const manifest = JSON.parse(await readFile(join(kept, 'export', 'manifest.json'), 'utf8')) as { missing: unknown }
  expect(manifest.missing).toEqual([])
  // With the administrator's login: others see no statements.
  const sessions = await readFile(join(kept, 'export', 'sessions.jsonl'), 'utf8')
  expect(sessions).not.toContain('insufficient privilege')

  // What is here while the backup is not.
  await asSuperuser('create table public.later ()')
  const other = join(folder, 'other')
  const payloads = await fromBackup(join(kept, 'base-backup', 'pg'), other)
  expect(payloads).toEqual([{ secret: 'do not show' }, { secret: 'altered' }, { secret: 'do not show' }])

  expect((await append(server)).status).toBe(201)
  const read = await fetch(`${server.url}/v1/entries/1`, {
    headers: { authorization: `Bearer ${server.tokens.auditor}` },
  })
  expect(read.status).toBe(200)
  const shown = await incident('show', found.id)
  expect(shown.stdout).toMatch(/^contained snapshot: export: \d+ files/m)
}, 180_000)

/** Payloads of the first three entries in a copy of the cluster that a server of its own starts from. */
async function fromBackup(pg: string, other: string): Promise<readonly unknown[]> {
  await mkdir(join(other, 'keys'), { recursive: true })
  await cp(pg, join(other, 'pg'), { recursive: true })
  await cp(join(dataDir, 'keys', 'pg-admin-password'), join(other, 'keys', 'pg-admin-password'))
  const { uid, gid } = await stat(join(dataDir, 'pg'))
  await chown(join(other, 'pg'), uid, gid)
  for (const name of await readdir(join(other, 'pg'), { recursive: true }))
    await lchown(join(other, 'pg', name), uid, gid)
  const cluster = await openCluster({ dataDir: other })
  const client = new Client(cluster.config)
  try {
    await client.connect()
    expect((await client.query(`select to_regclass('public.later') as later`)).rows).toEqual([{ later: null }])
    const { rows } = await client.query<{ payload: unknown }>(
      'select payload from security.audit_logs where sequence_number <= 3 order by sequence_number',
    )
    return rows.map(({ payload }) => payload)
  } finally {
    await client.end()
    await cluster.stop()
  }
}

test('what is quick is told before a snapshot ends, and a server that is stopped meanwhile says so', async () => {
  const begun = join(folder, 'begun')
  const command = ['/bin/sh', '-c', `touch ${begun}; sleep 1000`]
  const starting = contained('pin-checkpoint,snapshot', { DENDROLOG_SNAPSHOT_COMMAND: JSON.stringify(command) })
  const { server, incident: found } = await starting
  // Told before the slow one is done.
  expect(found.containment).toMatchObject([{ measure: 'pin-checkpoint', isDone: true }])
  await until(
    () =>
      stat(begun).then(
        () => true,
        () => false,
      ),
    () => server.output().slice(-3_000),
    60_000,
  )
  expect(await server.stop()).toBe(0)
  const shown = await incident('show', found.id)
  expect(shown.stdout).toMatch(/^contained snapshot: NOT DONE: export: .*command failed: the server was stopped$/m)
}, 180_000)

test('no checkpoint is signed any more, after a restart too, until that is released', async () => {
  const { server, incident: found } = await contained('stop-publishing')
  expect(found.containment).toMatchObject([{ measure: 'stop-publishing', isDone: true }])
  const readiness = async ({ url }: ServerProcess): Promise<unknown> => (await fetch(`${url}/readyz`)).json()
  await until(
    async () => JSON.stringify(await readiness(server)).includes('CONTAINED'),
    () => server.output().slice(-3_000),
  )
  const checkpoint = async ({ url }: ServerProcess): Promise<string> => (await fetch(`${url}/checkpoint`)).text()
  const before = await checkpoint(server)
  expect((await append(server)).status).toBe(503)
  await server.stop()

  const again = await startServer(dataDir, settings('stop-publishing'))
  expect((await append(again)).status).toBe(503)
  expect(await checkpoint(again)).toBe(before)
  expect(await incident('release')).toMatchObject({ status: 0, stdout: expect.stringContaining(found.id) })
  await waitUntilReady(again)
  expect((await append(again)).status).toBe(201)
  expect(await incident('release')).toMatchObject({ status: 0, stdout: 'nothing is stopped\n' })
  await until(
    async () =>
      (
        await asSuperuser(`select from security.audit_logs
          where action in ('dendrolog.incident.open', 'dendrolog.incident.contain', 'dendrolog.incident.release')`)
      ).length === 3,
    () => 'entries of what was done',
  )
}, 180_000)

test('the token that the row names as its writer is revoked, and no other', async () => {
  const { server, incident: found } = await contained('revoke-writers')
  expect(found.containment).toMatchObject([
    { measure: 'revoke-writers', isDone: true, detail: 'revoked: token:writer' },
  ])
  expect((await append(server)).status).toBe(401)
  const read = await fetch(`${server.url}/v1/entries/1`, {
    headers: { authorization: `Bearer ${server.tokens.auditor}` },
  })
  expect(read.status).toBe(200)
  const released = await incident('release')
  expect([released.status, released.stdout]).toEqual([0, expect.stringContaining('token:writer')])
}, 180_000)

test('the writer is locked out, sessions that were open too, until that is released', async () => {
  const starting = contained('lock-writer')
  await until(
    async () => (await readFile(join(dataDir, 'log.json'), 'utf8').catch(() => '')).includes('"ready"'),
    () => 'a log',
  )
  const roles = JSON.parse(await readFile(join(dataDir, 'keys', 'roles.json'), 'utf8')) as Record<string, string>
  const login = async (): Promise<Client> => {
    const password = roles.app_writer_role ?? ''
    const client = new Client({ ...(await adminConfig(dataDir)), user: 'app_writer_role', password })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  const open = await login()
  await open.query('select 1')
  const { server, incident: found } = await starting
  expect(found.containment).toMatchObject([
    { measure: 'lock-writer', isDone: true, detail: expect.stringMatching(/app_writer_role is locked and \d+ of/) },
  ])
  await expect(open.query('select 1')).rejects.toThrow()
  await expect(login()).rejects.toThrow('not permitted to log in')
  expect((await append(server)).status).toBe(503)
  expect((await fetch(`${server.url}/checkpoint`)).status).toBe(200)
  expect(hook.received.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toContain('incident.opened')
  await server.stop()

  const refused = await tryServer(dataDir, settings('lock-writer'))
  expect(refused).toMatchObject({ status: 2, output: expect.stringContaining('dendrolog incident release') })
  // With a PostgreSQL that is started for it, and does not let the writer in.
  expect(await incident('show', found.id)).toMatchObject({ status: 0 })
  expect(await incident('release')).toMatchObject({ status: 0, stdout: expect.stringContaining(found.id) })
  const again = await startServer(dataDir, settings('lock-writer'))
  await waitUntilReady(again)
  expect((await append(again)).status).toBe(201)

  // As where somebody migrated who may not change roles.
  await asSuperuser('alter function security_state.lock_writer() owner to app_state_role')
  await again.stop()
  const unable = await tryServer(dataDir, settings('lock-writer'))
  expect(unable).toMatchObject({ status: 2, output: expect.stringContaining('lock-writer cannot be used') })
}, 180_000)
