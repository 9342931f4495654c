import { Client, type ClientConfig } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { adminConfig, endAll, type ServerProcess, startServer, waitUntilReady } from '../support/server-process.ts'
import { makeServers, untilLeads } from '../support/servers.ts'

// What an on-call tool sees and does of a real server whose row somebody changed, with nothing but tokens.

let hook: Receiver
beforeEach(async () => {
  hook = await openReceiver()
})
afterEach(() => hook.close())

const settings = (): Readonly<Record<string, string>> => ({
  ...{ DENDROLOG_VERIFY_PROBE_SECONDS: '1', DENDROLOG_WEBHOOK_URL: hook.url },
  DENDROLOG_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
})

type Json = Readonly<Record<string, unknown>>

async function call(url: string, token: string, path: string, body?: object): Promise<{ status: number; json: Json }> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const init = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) }
  const answer = await fetch(`${url}${path}`, init)
  return { status: answer.status, json: (await answer.json()) as Json }
}

const payload = '{"secret": "do not show"}'

async function append({ url, tokens }: ServerProcess): Promise<void> {
  const event = { actorId: 'a', action: 'b', resource: 'c', payload: JSON.parse(payload) as object }
  const { status } = await call(url, tokens.writer, '/v1/entries', event)
  expect(status).toBe(201)
}

/** Changes entry 2, as a superuser who hides it. */
async function tamper(admin: ClientConfig, to = '{"secret": "altered"}'): Promise<void> {
  const client = new Client(admin)
  await client.connect()
  try {
    await client.query(`set session_replication_role = replica;
      do $$ declare name text; begin
        for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I disable', name); end loop;
        alter table security.audit_logs_p0000000000000001 disable trigger refuse_change;
        update security.audit_logs set payload = '${to}' where sequence_number = 2;
        alter table security.audit_logs_p0000000000000001 enable always trigger refuse_change;
        for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I enable always', name); end loop;
      end $$`)
  } finally {
    await client.end()
  }
}

async function untilVerified(url: string, token: string, size: number): Promise<void> {
  await until(
    async () => {
      const { json } = await call(url, token, '/v1/verifier')
      return json.size === size && json.verifiedSize === size && json.checkedAt !== null
    },
    () => `${size} entries are verified`,
    60_000,
  )
  expect((await call(url, token, '/v1/verifier')).json).toMatchObject({
    ...{
      isSecure: true,
      findings: 0,
      runsHere: true,
      failure: null,
      size,
      verifiedSize: size,
      lag: 0,
      withinHours: 24,
    },
    checkedAt: expect.stringMatching(/Z$/),
  })
}

async function untilIncident(url: string, token: string): Promise<string> {
  let incidents: readonly Json[] = []
  await until(
    async () => {
      incidents = (await call(url, token, '/v1/incidents?state=open')).json.incidents as readonly Json[]
      return incidents.length > 0
    },
    () => 'an incident is listed',
    90_000,
  )
  expect(incidents).toMatchObject([{ violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 2, state: 'open' }])
  return String(incidents[0]?.id)
}

function untilToldOf(type: string): Promise<void> {
  return until(
    () => hook.received.some(({ body }) => (JSON.parse(body) as Json).type === type),
    () => `the hook is told of ${type}: ${JSON.stringify(hook.received)}`,
    60_000,
  )
}

/** The entry of this action, from the log itself. */
async function untilEntry(url: string, token: string, action: string): Promise<Json> {
  let found: readonly Json[] = []
  await until(
    async () => {
      found = (await call(url, token, `/v1/entries?action=${action}`)).json.entries as readonly Json[]
      return found.length > 0
    },
    () => `an entry of ${action}`,
    60_000,
  )
  expect(found).toHaveLength(1)
  return found[0] as Json
}

test('a server that stands by lists and closes an incident, and the leader logs who closed it', async () => {
  const servers = await makeServers(2)
  try {
    const [leader, standby] = [await servers.start(0, settings()), await servers.start(1, settings())]
    await untilLeads(leader)
    for (let n = 0; n < 3; n++) await append(leader)
    const { admin, auditor } = leader.tokens
    for (const { url } of [leader, standby]) await untilVerified(url, auditor, 3)
    await tamper(servers.database.admin)
    const id = await untilIncident(standby.url, auditor)
    await untilToldOf('incident.opened')
    const shown = await call(standby.url, auditor, `/v1/incidents/${id}`)
    expect(shown.json).toMatchObject({ incident: { id, state: 'open' }, alarms: [{ news: 'opened', hook: 'webhook' }] })
    expect((await call(standby.url, auditor, `/v1/incidents/${id}/close`, { reason: 'x' })).status).toBe(403)
    const closed = await call(standby.url, admin, `/v1/incidents/${id}/close`, { reason: 'row 2 restored' })
    expect(closed).toMatchObject({ status: 200, json: { incident: { state: 'closed', closedBy: 'token:admin' } } })
    await untilToldOf('incident.closed')
    const entry = await untilEntry(leader.url, auditor, 'dendrolog.incident.close')
    expect(entry).toMatchObject({ actorId: 'token:admin', resource: `incident:${id}` })
    expect(JSON.stringify(entry.payload)).toContain('row 2 restored')
    for (const { url } of [leader, standby]) {
      await until(
        async () => (await call(url, auditor, '/v1/verifier')).json.isSecure === false,
        () => 'each verifier has found it',
        90_000,
      )
    }
  } finally {
    await servers.close()
  }
}, 300_000)

test('a log that an incident has stopped tells of it, lets it be closed, and logs that when it goes on', async () => {
  const folder = await makeFolder()
  const dataDir = `${folder}/data`
  try {
    const contained = { ...settings(), DENDROLOG_CONTAINMENT: 'stop-publishing' }
    const server = await startServer(dataDir, contained)
    await waitUntilReady(server)
    const { admin, auditor } = server.tokens
    for (let n = 0; n < 3; n++) await append(server)
    await untilVerified(server.url, auditor, 3)
    await tamper(await adminConfig(dataDir))
    const id = await untilIncident(server.url, auditor)
    await untilToldOf('incident.contained')
    expect((await call(server.url, auditor, '/readyz')).json).toMatchObject({ incident: 'CONTAINED' })
    const shown = await call(server.url, auditor, `/v1/incidents/${id}`)
    expect(shown.json).toMatchObject({ incident: { containment: [{ measure: 'stop-publishing', isDone: true }] } })
    await tamper(await adminConfig(dataDir), payload)
    const closed = await call(server.url, admin, `/v1/incidents/${id}/close`, { reason: 'row 2 restored' })
    expect(closed).toMatchObject({ status: 200, json: { incident: { closedBy: 'token:admin' } } })
    await untilToldOf('incident.closed')
    expect((await run(['incident', 'release'], { DENDROLOG_DATA_DIR: dataDir })).status).toBe(0)
    const entry = await untilEntry(server.url, auditor, 'dendrolog.incident.close')
    expect(entry).toMatchObject({ actorId: 'token:admin', resource: `incident:${id}` })
    expect(await server.stop()).toBe(0)

    const without = await startServer(dataDir, { DENDROLOG_VERIFIER: 'false' })
    const { json } = await call(without.url, auditor, '/v1/verifier')
    expect(json).toMatchObject({
      isSecure: true,
      findings: 0,
      runsHere: false,
      size: null,
      checkedAt: expect.stringMatching(/Z$/),
    })
    expect(json.savedAt).toMatch(/Z$/)
    expect(await without.stop()).toBe(0)
  } finally {
    await endAll(dataDir)
    await removeFolder(folder)
  }
}, 300_000)
