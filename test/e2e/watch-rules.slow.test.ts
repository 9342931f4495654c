import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { readDeployed, readSample } from '../rules/events.ts'
import { until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { endAll, type ServerProcess, startServer, waitUntilReady } from '../support/server-process.ts'

// The watch rules of a server, on the CloudTrail sample: metric, log line, incident, webhook; starts; another file.

let folder: string
let dataDir: string
let rulesPath: string
let hook: Receiver
let server: ServerProcess

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  rulesPath = join(folder, 'rules.json')
  await writeFile(rulesPath, JSON.stringify(await readDeployed('cloudtrail.json')))
  hook = await openReceiver('/hook')
  server = await start()
})
afterAll(async () => {
  await endAll(dataDir)
  await hook.close()
  await removeFolder(folder)
})

async function start(): Promise<ServerProcess> {
  const started = await startServer(dataDir, {
    DENDROLOG_PUBLIC_METRICS: 'true',
    DENDROLOG_VERIFIER: 'false',
    DENDROLOG_WATCH_RULES: rulesPath,
    DENDROLOG_WEBHOOK_URL: hook.url,
    DENDROLOG_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
  })
  await waitUntilReady(started)
  // It begins with the newest entry: what comes from now on is watched.
  await until(
    async () => (await metricOf(started, 'watch_rules_lag')) === 0,
    () => started.output(),
  )
  return started
}

async function metricOf({ url }: ServerProcess, name: string): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`dendrolog_${name} `))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

const matches = (rule: string): Promise<number | undefined> =>
  metricOf(server, `watch_rule_matches_total{rule="${rule}"}`)

async function append(events: readonly object[]): Promise<void> {
  const answer = await fetch(`${server.url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' },
    body: events.map((event) => JSON.stringify(event)).join('\n'),
  })
  expect([answer.status, await answer.json()]).toMatchObject([200, { accepted: events.length }])
}

const untilWatched = (): Promise<void> =>
  until(
    async () => (await metricOf(server, 'watch_rules_size')) === (await metricOf(server, 'published_size')),
    () => server.output().slice(-2_000),
  )

type Incident = {
  readonly violationType: string
  readonly count: number
  readonly sequenceNumber: number
  readonly evidence: { readonly rule: string; readonly matches: number; readonly entry: { readonly action: string } }
}

async function incidents(): Promise<readonly Incident[]> {
  const { stdout } = await run(['incident', 'list', '--json'], { DENDROLOG_DATA_DIR: dataDir })
  return (JSON.parse(stdout) as { incidents: Incident[] }).incidents
}

const event = { actorId: 'arn:mallory', action: 'cloudtrail.StopLogging', resource: 'trail/1', payload: {} }

test('each attack step of the sample is counted, logged, and an incident of its rule and actor', async () => {
  const events = await readSample()
  for (let from = 0; from < events.length; from += 500) await append(events.slice(from, from + 500))
  await untilWatched()
  const expected = {
    'denied-burst': 2,
    'new-access-key': 2,
    'privilege-escalation': 5,
    'administrator-access': 1,
    'logging-off': 4,
    'password-data-requested': 1,
    'secrets-harvested': 2,
    'shared-outside': 2,
    'port-opened-to-all': 1,
    'root-used': 0,
    'login-without-mfa': 0,
    'new-address-of-identity': 0,
  }
  const counted = await Promise.all(Object.keys(expected).map(async (rule) => [rule, await matches(rule)] as const))
  expect(Object.fromEntries(counted)).toEqual(expected)
  const opened = await incidents()
  expect(opened.map(({ violationType }) => violationType).sort()).toEqual([
    'WATCH_ADMINISTRATOR_ACCESS',
    // Two roles, each refused in a burst of its own.
    'WATCH_DENIED_BURST',
    'WATCH_DENIED_BURST',
    'WATCH_LOGGING_OFF',
    'WATCH_NEW_ACCESS_KEY',
    'WATCH_PASSWORD_DATA_REQUESTED',
    'WATCH_PORT_OPENED_TO_ALL',
    'WATCH_PRIVILEGE_ESCALATION',
    'WATCH_SECRETS_HARVESTED',
    'WATCH_SHARED_OUTSIDE',
  ])
  expect(server.output()).toMatch(
    /"rule":"denied-burst","severity":"error","sequenceNumber":\d+,"actorId":"arn:aws:sts:/,
  )
}, 60_000)

test('hooks are told with the severity of the rule, and nobody of payloads', async () => {
  await until(
    () => hook.received.length >= 10,
    () => `10 alarms; got ${hook.received.length}`,
  )
  const bodies = hook.received.map(({ body }) => JSON.parse(body) as { data: { incident: Incident } })
  const off = bodies.find(({ data }) => data.incident.violationType === 'WATCH_LOGGING_OFF')
  expect(off).toMatchObject({
    type: 'incident.opened',
    data: {
      severity: 'critical',
      priority: 1,
      incident: { evidence: { rule: 'logging-off', because: { kind: 'match' } } },
    },
  })
  const port = bodies.find(({ data }) => data.incident.violationType === 'WATCH_PORT_OPENED_TO_ALL')
  expect(port).toMatchObject({ data: { severity: 'warning', priority: 3 } })
  // An access key, and a member that many of the payloads have.
  const told = server.output() + JSON.stringify(bodies) + JSON.stringify(await incidents())
  expect(told).not.toMatch(/AKIATFQR7NSC|recipientAccountId/)
})

test('after a clean end and after none the same is not told again, and what is new is', async () => {
  const before = await incidents()
  await server.stop()
  server = await start()
  expect([await matches('logging-off'), await incidents()]).toEqual([0, before])
  await append([event])
  await untilWatched()
  expect(await matches('logging-off')).toBe(1)
  await server.kill()
  server = await start()
  expect(await matches('logging-off')).toBe(0)
  const after = await incidents()
  expect(after.slice(0, before.length)).toEqual(before)
  expect(after.slice(before.length)).toMatchObject([
    { violationType: 'WATCH_LOGGING_OFF', count: 1, evidence: { entry: { action: 'cloudtrail.StopLogging' } } },
  ])
}, 90_000)

test('a file that was changed is read again at SIGHUP, and one that cannot be used is not used', async () => {
  await writeFile(rulesPath, '{"rules":[{"name":"r","match":{"actor":"a"}}]}')
  server.child.kill('SIGHUP')
  await until(
    () => server.output().includes('the watch rules stay as they were'),
    () => server.output().slice(-2_000),
  )
  await writeFile(rulesPath, '{"rules":[{"name":"new-rule","match":{"actorId":"arn:m*"}}]}')
  server.child.kill('SIGHUP')
  await until(
    async () => (await matches('new-rule')) === 0,
    () => server.output().slice(-2_000),
  )
  await append([event])
  await untilWatched()
  expect([await matches('new-rule'), await matches('logging-off')]).toEqual([1, 0])
})

test('a server with rules that cannot be used refuses to start', async () => {
  await server.stop()
  await writeFile(rulesPath, '{"rules":[{"name":"r","match":{"actor":"a"}}]}')
  const environment = { DENDROLOG_DATA_DIR: join(folder, 'other'), DENDROLOG_WATCH_RULES: rulesPath }
  const { status, stderr } = await run(['serve'], environment)
  expect([status, stderr]).toEqual([
    2,
    expect.stringContaining(`DENDROLOG_WATCH_RULES: ${rulesPath}: at "/rules/0/match/actor": unknown member`),
  ])
  const missing = await run(['serve'], { ...environment, DENDROLOG_WATCH_RULES: join(folder, 'none') })
  expect([missing.status, missing.stderr]).toEqual([2, expect.stringContaining('DENDROLOG_WATCH_RULES: ')])
  // Nothing was made before.
  await expect(readdir(join(folder, 'other'))).rejects.toThrow('ENOENT')
})
