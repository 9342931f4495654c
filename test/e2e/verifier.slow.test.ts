import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import {
  adminConfig,
  childrenOf,
  endAll,
  type ServerProcess,
  startServer,
  waitUntilReady,
} from '../support/server-process.ts'

// The verifier that a server runs beside itself.

let folder: string
let dataDir: string
let server: ServerProcess

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  server = await startServer(dataDir, { DENDROLOG_PUBLIC_METRICS: 'true' })
  await waitUntilReady(server)
})
afterAll(async () => {
  await endAll(dataDir)
  await removeFolder(folder)
})

async function append(count: number): Promise<void> {
  const event = JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { secret: 'do not show' } })
  const answer = await fetch(`${server.url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' },
    body: Array<string>(count).fill(event).join('\n'),
  })
  expect(answer.status).toBe(200)
}

async function metric(name: string): Promise<number | undefined> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const value = new RegExp(`^dendrolog_${name} (\\S+)$`, 'm').exec(text)?.[1]
  return value === undefined ? undefined : Number(value)
}

const untilMetric = (name: string, want: number): Promise<void> =>
  until(
    async () => (await metric(name)) === want,
    () => `dendrolog_${name} ${want}; ${server.output().slice(-1_000)}`,
  )

async function standing(): Promise<Readonly<Record<string, unknown>>> {
  const headers = { authorization: `Bearer ${server.tokens.auditor}` }
  return (await (await fetch(`${server.url}/v1/verifier`, { headers })).json()) as Record<string, unknown>
}

/** The verifier among the children of the server. */
async function verifierPid(): Promise<number | undefined> {
  for (const pid of await childrenOf(server.child.pid ?? 0)) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('\0verify\0')) return pid
  }
  return undefined
}

/** Those of the first partition's rows, and the guard. */
function switchTriggers(state: string): string {
  const guard = `for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I ${state}', name); end loop;`
  const partition = `alter table security.audit_logs_p0000000000000001 ${state} trigger refuse_change;`
  const [first, then] = state === 'disable' ? [guard, partition] : [partition, guard]
  return `do $$ declare name text; begin ${first} ${then} end $$`
}

async function asSuperuser(statement: string): Promise<void> {
  const client = new Client(await adminConfig(dataDir))
  await client.connect()
  try {
    // At once, so that the verifier sees triggers that are on.
    await client.query(`${switchTriggers('disable')}; ${statement}; ${switchTriggers('enable always')}`)
  } finally {
    await client.end()
  }
}

test('new entries are verified without being asked for', async () => {
  await append(700)
  const size = await metric('published_size')
  await untilMetric('verified_size', size ?? -1)
  await untilMetric('verifier_lag', 0)
  expect(await metric('verifier_findings')).toBe(0)
  expect(await metric('verifier_checked_timestamp_seconds')).toBeGreaterThan(Date.now() / 1_000 - 60)
})

test('a verifier that is killed is started again', async () => {
  const before = await verifierPid()
  if (before === undefined) throw new Error('there is no verifier')
  expect(await standing()).toMatchObject({ isSecure: true, failure: null, runsHere: true })
  process.kill(before, 'SIGKILL')
  await until(
    async () => {
      const { isSecure, failure } = await standing()
      return isSecure === null && failure === 'its process has ended; it is started again'
    },
    () => 'nobody says that all is well',
  )
  await until(
    async () => ![undefined, before].includes(await verifierPid()),
    () => 'another verifier',
  )
  expect(server.output()).toContain('the verifier has ended; it is started again')
  await until(
    async () => (await standing()).isSecure === true,
    () => 'the other one checks',
  )
})

test('a row that a superuser changes is named in the log, the metrics, the status and the database', async () => {
  await asSuperuser(`update security.audit_logs set payload = '{"secret": "altered"}' where sequence_number = 300`)
  // Probes come every 30 s; rounds of a small log every minute.
  await until(
    async () => (await metric('verifier_findings')) === 1,
    () => 'a finding',
    90_000,
  )
  await until(
    () => /"violationType":"PAYLOAD_CORRUPT","sequenceNumber":300/.test(server.output()),
    () => `an incident; ${server.output().slice(-1_000)}`,
  )
  const status = await run(['verify', '--status'], { DENDROLOG_DATA_DIR: dataDir })
  expect([status.status, status.stdout]).toEqual([
    1,
    expect.stringContaining('PAYLOAD_CORRUPT  entry 300: payload altered'),
  ])
  const client = new Client(await adminConfig(dataDir))
  await client.connect()
  const { rows } = await client.query('select code, sequence_number, evidence from security.findings')
  await client.end()
  expect(rows).toMatchObject([{ code: 'PAYLOAD_CORRUPT', sequence_number: '300', evidence: { fields: 'payload' } }])
  expect(server.output() + JSON.stringify(rows) + status.stdout).not.toMatch(/do not show|"altered"/)
}, 120_000)

test('the verifier ends with its server, also where that is killed', async () => {
  const pid = await verifierPid()
  if (pid === undefined) throw new Error('there is no verifier')
  await server.kill()
  await until(
    async () => (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) === '',
    () => `process ${pid} to end`,
  )
  server = await startServer(dataDir, { DENDROLOG_PUBLIC_METRICS: 'true' })
  await waitUntilReady(server)
})

test('rounds of a job say the same, and forgotten findings are told again', async () => {
  await server.stop()
  const environment = { DENDROLOG_DATA_DIR: dataDir }
  expect((await run(['verify'], environment)).status).toBe(1)
  expect((await run(['verify', '--forget'], environment)).stdout).toContain('1 finding forgotten')
  expect((await run(['verify', '--status'], environment)).status).toBe(0)
  await rm(join(dataDir, 'verifier-state'))
  expect(await run(['verify', '--status'], environment)).toMatchObject({ status: 2 })
  const { status, stdout } = await run(['verify', '--json'], environment)
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(status).toBe(1)
  expect(lines).toMatchObject([
    { violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 300 },
    { isSecure: false, violationType: 'PAYLOAD_CORRUPT', findings: [{ sequenceNumber: 300 }] },
  ])
})
