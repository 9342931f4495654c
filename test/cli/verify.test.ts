import { chmod, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VerificationReport } from '../../src/audit/report.ts'
import { openCluster } from '../../src/store/embedded.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { formatTilePath, tilesOfSize } from '../../tlog/tile.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import { openReceiver } from '../support/receiver.ts'
import { adminConfig, endAll, type ServerProcess, startServer, waitUntilReady } from '../support/server-process.ts'
import { type Finished, makeFolder, removeFolder, run } from './binary.ts'

// The real program on a real server's data folder: what an operator, a cron job and an auditor see.

let folder: string
let dataDir: string
let server: ServerProcess

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  server = await startServer(dataDir)
  await waitUntilReady(server)
})
afterAll(async () => {
  await endAll(dataDir)
  await removeFolder(folder)
})

function verify(args: readonly string[] = [], environment: Readonly<Record<string, string>> = {}): Promise<Finished> {
  return run(['verify', '--full', ...args], { DENDROLOG_DATA_DIR: dataDir, ...environment })
}

async function report(...args: Parameters<typeof verify>): Promise<VerificationReport & { status: number | null }> {
  const { status, stdout } = await verify(['--json', ...(args[0] ?? [])], args[1])
  return { ...(JSON.parse(stdout) as VerificationReport), status }
}

async function append(count: number): Promise<void> {
  const event = JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { secret: 'do not show' } })
  const answer = await fetch(`${server.url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' },
    body: Array<string>(count).fill(event).join('\n'),
  })
  expect(answer.status).toBe(200)
}

async function asSuperuser(...statements: readonly string[]): Promise<void> {
  const client = new Client(await adminConfig(dataDir))
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

/** Those of the first partition's rows, and the guard. */
function switchTriggers(state: string): string {
  const guard = `for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I ${state}', name); end loop;`
  const partition = `alter table security.audit_logs_p0000000000000001 ${state} trigger refuse_change;`
  const [first, then] = state === 'disable' ? [guard, partition] : [partition, guard]
  return `do $$ declare name text; begin ${first} ${then} end $$`
}

/** The login of an auditor who has nothing else. */
async function readerUrl(): Promise<string> {
  const { host, database } = await adminConfig(dataDir)
  const roles = JSON.parse(await readFile(join(dataDir, 'keys', 'roles.json'), 'utf8')) as Record<string, string>
  const password = encodeURIComponent(roles.auditor_reader_role ?? '')
  return `postgres://auditor_reader_role:${password}@/${database}?host=${encodeURIComponent(String(host))}`
}

test('a log without entries, and one of a single entry, have no findings', async () => {
  expect(await report()).toMatchObject({ status: 0, isSecure: true, totalLogsScanned: 0, treeSize: 0, notChecked: [] })
  await append(1)
  expect(await report()).toMatchObject({ status: 0, isSecure: true, totalLogsScanned: 1, treeSize: 1 })
})

test('a log that is in order is said to be so, in a line for people', async () => {
  await append(599)
  const { status, stdout, stderr } = await verify()
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(
    /^nothing found: 600 entries and \d+ checkpoints in [\d.]+ s \(\d+ entries\/s\)\ntree size 600, root hash [0-9a-f]{64}\n$/,
  )
})

test('while entries come in, what is committed when the run begins is checked', async () => {
  const appending = (async () => {
    for (let i = 0; i < 10; i++) await append(100)
  })()
  for (let i = 0; i < 3; i++) expect(await report()).toMatchObject({ status: 0, isSecure: true })
  await appending
})

test('an auditor with the login of the role and the verifier key checks all but what is with the server', async () => {
  const { vkey } = (await (await fetch(`${server.url}/v1/log`)).json()) as { vkey: string }
  const settings = { DENDROLOG_DATA_DIR: join(folder, 'nothing'), DENDROLOG_READER_URL: await readerUrl() }
  expect(await report(['--vkey', vkey], settings)).toMatchObject({
    status: 0,
    isSecure: true,
    notChecked: ['signatures of the STHs: no key', expect.stringContaining('seals')],
  })
  expect((await report([], settings)).notChecked).toHaveLength(2)
  const other = vkey.replace(/^[^+]+/, 'other.example')
  expect((await verify(['--vkey', other], settings)).status).not.toBe(0)
})

test('two at once do not disturb each other', async () => {
  const both = await Promise.all([report(), report()])
  expect(both).toMatchObject([
    { status: 0, isSecure: true },
    { status: 0, isSecure: true },
  ])
})

describe('what cannot be checked', () => {
  test.each([
    [['verify', '--full', '--watch'], 'want one of'],
    [['verify', '--threads', '2'], 'is for --full'],
    [['verify', '--every', '10'], 'like 30s, 10m or 6h'],
    [['verify', '--full', '--threads', '0'], '--threads'],
    [['verify', '--full', 'more'], 'unexpected argument'],
  ])('%j is bad use', async (args, message) => {
    const { status, stderr } = await run(args, { DENDROLOG_DATA_DIR: dataDir })
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)])
  })

  test('a database that is away is no violation', async () => {
    const away = { DENDROLOG_READER_URL: 'postgres://auditor_reader_role:x@127.0.0.1:1/dendrolog' }
    const { status, stdout, stderr } = await verify(['--json'], away)
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toEqual({ error: expect.stringContaining('127.0.0.1') })
    expect(stderr).not.toContain(':x@')
  })

  test('keys that are not there, or of another log', async () => {
    const key = join(dataDir, 'keys', 'note-key')
    await rename(key, `${key}.away`)
    try {
      expect(await verify()).toMatchObject({ status: 2, stderr: expect.stringContaining('note-key: missing') })
      const text = await readFile(`${key}.away`, 'utf8')
      await writeFile(key, text.replace(/localhost\/\w+/, 'other.example'), { mode: 0o600 })
      expect((await verify()).status).toBe(2)
    } finally {
      await rm(key, { force: true })
      await rename(`${key}.away`, key)
    }
  })
})

test('what somebody else knows and cannot be read is not passed over: status 2, and the rest is checked', async () => {
  const known = join(folder, 'known')
  await mkdir(known, { recursive: true })
  await writeFile(join(known, 'note'), 'no checkpoint\n')
  const settings = { DENDROLOG_KNOWN_CHECKPOINTS: known }
  const told = await report([], settings)
  expect(told).toMatchObject({ status: 2, isSecure: false, isComplete: false, violationType: null, findings: [] })
  expect(told.totalLogsScanned).toBe(told.treeSize)
  expect(told.notChecked).toEqual([expect.stringContaining('note')])
  expect((await verify([], settings)).stdout).toMatch(/^NOT ALL COULD BE CHECKED; nothing found in the rest: /)
  const round = await run(['verify'], { DENDROLOG_DATA_DIR: dataDir, ...settings })
  expect(round).toMatchObject({ status: 2, stderr: expect.stringContaining('note') })
  expect((await run(['verify'], { DENDROLOG_DATA_DIR: dataDir })).status).toBe(0)
})

test('a trigger that a superuser disabled is a violation, and the log goes on', async () => {
  await asSuperuser(switchTriggers('disable'))
  const { status, findings, violationType } = await report()
  expect([status, violationType]).toEqual([1, 'SCHEMA_TAMPERED'])
  expect(findings.map(({ object }) => object)).toEqual([
    'event trigger security_guard_drop',
    'event trigger security_guard_end',
    'event trigger security_guard_start',
    'security.audit_logs_p0000000000000001',
  ])
  await append(1)
  await asSuperuser(switchTriggers('enable always'))
  expect(await report()).toMatchObject({ status: 0, isSecure: true, notChecked: [] })
})

describe('a second copy of the tiles', () => {
  let mirror: string

  async function against(where: string): Promise<Record<string, unknown>> {
    const { status, stdout } = await run(['verify', '--against', where, '--json'], { DENDROLOG_DATA_DIR: dataDir })
    return { status, ...(JSON.parse(stdout) as object) }
  }

  async function save(path: string): Promise<void> {
    const answer = await fetch(`${server.url}/${path}`)
    await mkdir(dirname(join(mirror, path)), { recursive: true })
    await writeFile(join(mirror, path), new Uint8Array(await answer.arrayBuffer()))
  }

  beforeAll(async () => {
    mirror = join(folder, 'mirror')
    await mkdir(mirror)
    await save('checkpoint')
    const size = Number((await readFile(join(mirror, 'checkpoint'), 'utf8')).split('\n')[1])
    for (const tile of tilesOfSize(asTreeSize(size))) await save(formatTilePath(tile))
  })

  test("that is the same, of a mirror, a server, and a server's files", async () => {
    for (const where of [mirror, server.url, join(dataDir, 'tiles')]) {
      expect(await against(where)).toMatchObject({
        ...{ status: 0, isSame: true, differences: [], misfits: [], rootless: [], firstWrongCheckpoint: null },
      })
    }
  })

  test('with other hashes names the entries, and the first checkpoint that is of another tree', async () => {
    const path = join(mirror, formatTilePath({ level: 0, index: 1, width: 256 }))
    const tile = await readFile(path)
    const other = Buffer.from(tile)
    other[32 * 44] = (other[32 * 44] ?? 0) ^ 1
    await writeFile(path, other)
    // With the node above it, as somebody does who wants it believed.
    const above = (await readdir(join(mirror, 'tile/1/000.p'))).map((name) => join(mirror, 'tile/1/000.p', name))
    for (const file of above) {
      const roots = await readFile(file)
      roots.set(rootOfFullTile(other), 32)
      await writeFile(file, roots)
    }
    const found = await against(mirror)
    expect(found).toMatchObject({ status: 1, isSame: false, rootless: ['copy'], misfits: [] })
    expect(found).toMatchObject({
      differences: [{ sequenceNumber: 301, leafIndex: 300 }],
      firstWrongCheckpoint: { treeSize: 600 },
    })
    const { stdout } = await run(['verify', '--against', mirror], { DENDROLOG_DATA_DIR: dataDir })
    expect(stdout).toMatch(/^VIOLATION: 1 of \d+ entries by \d+ tiles in [\d.]+ s differ\n {2}entry 301 \(leaf 300\): /)
    expect(stdout).toContain('first checkpoint of another tree than the copy: ')
  })

  test('that is not there is no violation', async () => {
    for (const where of [join(folder, 'nothing'), 'http://127.0.0.1:1']) {
      const { status } = await run(['verify', '--against', where], { DENDROLOG_DATA_DIR: dataDir })
      expect(status).toBe(2)
    }
  })
})

test('what a full pass found is in the status, also where no round has found it', async () => {
  const status = (): Promise<Finished> => run(['verify', '--status', '--json'], { DENDROLOG_DATA_DIR: dataDir })
  expect((await verify()).status).toBe(0)
  expect(await status()).toMatchObject({ status: 0, stdout: expect.stringMatching(/"full":{[^}]*"isComplete":true}/) })
  await asSuperuser(switchTriggers('disable'))
  try {
    expect((await verify()).status).toBe(1)
    expect(await status()).toMatchObject({ status: 1, stdout: expect.stringContaining('SCHEMA_TAMPERED') })
  } finally {
    await asSuperuser(switchTriggers('enable always'))
  }
  expect((await verify()).status).toBe(0)
  expect((await status()).status).toBe(0)
})

test('a violation has status 1, and names the entry without what it says', async () => {
  await asSuperuser(
    switchTriggers('disable'),
    `update security.audit_logs set payload = '{"secret": "altered"}' where sequence_number = 300`,
    switchTriggers('enable always'),
  )
  const { status, stdout } = await verify()
  expect(status).toBe(1)
  expect(stdout).toMatch(/^VIOLATION: 1 finding in /)
  expect(stdout).toContain('PAYLOAD_CORRUPT  entry 300: payload altered')
  expect(stdout).not.toMatch(/do not show|"altered"/)
  expect(await report()).toMatchObject({
    status: 1,
    isSecure: false,
    tamperedLogSequence: 300,
    violationType: 'PAYLOAD_CORRUPT',
    failureDetails: expect.stringContaining('entry 300'),
    findings: [{ violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 300, lastSequenceNumber: 300, fields: 'payload' }],
  })
})

test('a server that is stopped does not keep its log from being checked', async () => {
  await server.stop()
  expect(await report()).toMatchObject({ status: 1, violationType: 'PAYLOAD_CORRUPT', tamperedLogSequence: 300 })
})

test('a job opens an incident, tells hooks of it once and the dead-man service of each round', async () => {
  const receiver = await openReceiver('/told')
  const environment = {
    DENDROLOG_DATA_DIR: dataDir,
    DENDROLOG_WEBHOOK_URL: receiver.url,
    DENDROLOG_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32).toString('base64')}`,
    DENDROLOG_HEARTBEAT_URL: receiver.url.replace('/told', '/beat'),
  }
  try {
    // The server had told of it already, to nobody.
    const before = JSON.parse((await run(['incident', 'list', '--json'], environment)).stdout) as {
      incidents: { id: string }[]
    }
    for (const { id } of before.incidents) await run(['incident', 'close', id, '--reason', 'a test'], environment)
    await run(['verify', '--forget'], environment)
    const rounds = [['verify'], ['verify'], ['verify', '--full']]
    for (const args of rounds) expect((await run(args, environment)).status).toBe(1)
    const alarms = receiver.received
      .filter(({ path }) => path === '/told')
      .map(({ body }) => JSON.parse(body) as object)
    expect(alarms).toMatchObject([
      { type: 'incident.opened', data: { incident: { violationType: 'PAYLOAD_CORRUPT', sequenceNumber: 300 } } },
    ])
    const beats = receiver.received.map(({ path }) => path.split('?')[0]).filter((path) => path !== '/told')
    expect(beats).toEqual(rounds.flatMap(() => ['/beat/start', '/beat/fail']))
    const { stdout } = await run(['incident', 'list', '--json'], environment)
    // The second round had nothing new to tell.
    const { incidents } = JSON.parse(stdout) as { incidents: { id: string }[] }
    expect(incidents).toMatchObject([{ violationType: 'PAYLOAD_CORRUPT', count: 2 }])
    // No server is there to tell of the closing: the next round does, and finds that the row is as it was.
    const id = String(incidents[0]?.id)
    await run(['incident', 'close', id, '--reason', 'a test'], environment)
    expect((await run(['verify'], environment)).status).toBe(1)
    const told = receiver.received.filter(({ path }) => path === '/told').slice(1)
    const news = told.map(({ body }) => JSON.parse(body) as { type: string; data: { incident: { id: string } } })
    expect(news.map(({ type, data }) => [type, data.incident.id === id]).sort()).toEqual([
      ['incident.closed', true],
      ['incident.opened', false],
    ])
  } finally {
    await receiver.close()
  }
}, 120_000)

test('an older copy of the database is a rollback, of another log a refusal', async () => {
  const memory = join(dataDir, 'signer-state.json')
  const kept = await readFile(memory, 'utf8')
  const later = kept.replace(/\n(\d{3,})\n/, (_, size: string) => `\n${Number(size) + 5}\n`)
  await cp(memory, `${memory}.kept`)
  await writeFile(memory, later)
  await chmod(memory, 0o600)
  // Our own memory was edited: whatever it is then, nothing is said to be in order.
  expect((await verify()).status).not.toBe(0)
  await rename(`${memory}.kept`, memory)
  await rm(memory)
  expect((await report()).findings.map(({ violationType }) => violationType)).toContain('SIGNER_MEMORY_MISSING')
  const round = (): Promise<Finished> => run(['verify', '--json'], { DENDROLOG_DATA_DIR: dataDir })
  expect(await round()).toMatchObject({ status: 1, stdout: expect.stringContaining('SIGNER_MEMORY_MISSING') })
  const again = await round()
  expect(again).toMatchObject({ status: 1 })
  // One line, the report: nothing is told again.
  expect(JSON.parse(again.stdout)).toMatchObject({
    ...{ isSecure: false, totalLogsScanned: expect.any(Number), tamperedLogSequence: 300 },
    ...{ violationType: 'PAYLOAD_CORRUPT', failureDetails: expect.stringContaining('entry 300: payload altered') },
    findings: expect.arrayContaining([expect.objectContaining({ violationType: 'SIGNER_MEMORY_MISSING' })]),
  })
})

test('a table that was renamed before the server was stopped is a violation, not a database without a log', async () => {
  const cluster = await openCluster({ dataDir })
  try {
    await asSuperuser(
      `do $$ declare name text; begin for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I disable', name); end loop; end $$`,
      'alter table security.tree_heads rename to heads',
    )
  } finally {
    await cluster.stop()
  }
  const told = await report()
  // That the rest could not be read is said beside it.
  expect(told).toMatchObject({ status: 1, isSecure: false, isComplete: false })
  expect(told.findings.map(({ object }) => object)).toContain('security.tree_heads')
})
