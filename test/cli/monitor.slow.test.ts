import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { UsageError } from '../../src/cli/command.ts'
import { statusOf } from '../../src/cli/monitor/describe.ts'
import { LogMonitor } from '../../src/cli/monitor/log-monitor.ts'
import { defaultStateFile, emptyState } from '../../src/cli/monitor/state.ts'
import { monitorCommand } from '../../src/cli/monitor.ts'
import { LogClient } from '../../src/client/log-client.ts'
import type { Alarm } from '../../src/ops/hooks/hook.ts'
import { decodeUtf8 } from '../../tlog/bytes.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { type NoteSigner, signNote } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { encodeTreeHead, formatSth } from '../../tlog/sth.ts'
import { type HostileServer, openHostileServer, type React, type Said, withJson } from '../client/hostile-server.ts'
import { leavesOf, MemoryLog, makeKey, type TestKey } from '../client/memory-log.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { origin } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { type Finished, finished, makeFolder, removeFolder, run, spawnProgram } from './binary.ts'

// The real program against a real API, and against servers between or in place of it that show what a log may not.

let api: TestApi
let home = ''
let url = ''
let vkey = ''
let sthKey = ''
let tokenFile = ''
let key: TestKey
let folder = ''
const hostiles: HostileServer[] = []

beforeAll(async () => {
  api = await openTestApi()
  home = await makeFolder()
  url = `http://127.0.0.1:${(await api.listen()).port}`
  vkey = api.test.keys.vkey
  sthKey = api.test.keys.sthPublicKey
  // What a thief of the log's key can sign.
  key = { origin, vkey, sign: (text) => decodeUtf8(signNote(text, [api.test.keys.signing.note as NoteSigner])) }
  tokenFile = join(home, 'token')
  await writeFile(tokenFile, api.tokens.auditor, { mode: 0o600 })
  await append(300)
})
afterAll(async () => {
  await api.close()
  await removeFolder(home)
})
beforeEach(async () => {
  folder = await makeFolder()
})
afterEach(async () => {
  for (const server of hostiles.splice(0)) await server.close()
  await removeFolder(folder)
})

async function append(count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, n) => JSON.stringify(submissionWith({ payload: { n } })))
  const answer = await api.post(lines.join('\n'), { 'content-type': 'application/x-ndjson' }, '?wait=published')
  expect(answer.status).toBe(200)
}

async function hostile(react: React): Promise<string> {
  const server = await openHostileServer(url, react)
  hostiles.push(server)
  return server.url
}

type Json = Readonly<Record<string, unknown>>
type Environment = Readonly<Record<string, string>>

function monitor(args: readonly string[] = [], at = url, environment: Environment = {}): Promise<Finished> {
  return run(['monitor', at, '--vkey', vkey, ...args], environment, '', folder)
}

async function look(args: readonly string[] = [], at = url, environment: Environment = {}): Promise<Json> {
  const { status, stdout, stderr } = await monitor(['--json', ...args], at, environment)
  return { exit: status, stderr, ...(JSON.parse(stdout) as Json) }
}

async function readState(): Promise<Json & { readonly checkpoint: string }> {
  return JSON.parse(await readFile(defaultStateFile(parseVkey(vkey), folder), 'utf8')) as Json & { checkpoint: string }
}

async function evidenceFiles(): Promise<string[]> {
  const place = `${defaultStateFile(parseVkey(vkey), folder)}.evidence`
  return (await readdir(place).catch((): string[] => [])).map((name) => join(place, name))
}

function flip({ status, body }: Said): Said {
  const bytes = Uint8Array.from(body as Uint8Array)
  bytes[100] = (bytes[100] as number) ^ 1
  return { status, body: bytes }
}

/** The log's key on another tree. */
function forkOf(size: number): Promise<string> {
  return hostile(new MemoryLog(key, leavesOf(size)).serve())
}

describe('a log in order', () => {
  test('is believed first, then followed: tiles, entries and both signatures', async () => {
    const all = ['--tiles', '--entries', '--token-file', tokenFile, '--sth-key', sthKey]
    const first = await look(all)
    expect(first).toMatchObject({
      exit: 0,
      status: 'advanced',
      isSecure: true,
      fromSize: null,
      findings: [],
      stderr: '',
    })
    const size = Number(first.size)
    expect(first).toMatchObject({ tilesSize: size, entriesSize: size })
    await append(20)
    expect(await look(all)).toMatchObject({ exit: 0, status: 'advanced', fromSize: size, entriesSize: size + 20 })
    const { status, stdout, stderr } = await monitor(all)
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(/^in order: "test\.example\/log" has \d+ entries, as before; tiles read of \d+; \d+ read\n$/)
    const file = defaultStateFile(parseVkey(vkey), folder)
    expect(basename(file)).toMatch(/^dendrolog-monitor-test\.example_log-[0-9a-f]{8}\.json$/)
    expect((await stat(file)).mode % 0o1000).toBe(0o600)
    expect(await evidenceFiles()).toEqual([])
  })

  test('is followed until SIGTERM, a line each', async () => {
    const child = spawnProgram(['monitor', url, '--vkey', vkey, '--every', '1s', '--json'], {}, folder)
    let lines = 0
    child.stdout?.on('data', (chunk) => {
      lines += String(chunk).split('\n').length - 1
      if (lines >= 2) child.kill('SIGTERM')
    })
    const { status, stdout } = await finished(child)
    expect(status).toBe(0)
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as Json).status),
    ).toEqual(['advanced', 'unchanged'])
  })

  test('is begun with a checkpoint of one’s own, where nothing is remembered', async () => {
    const file = join(folder, 'own')
    const other = new MemoryLog(key, leavesOf(5))
    await writeFile(file, other.note())
    expect(await look(['--checkpoint', file, '--state', join(folder, 'a')])).toMatchObject({
      exit: 1,
      violationType: 'FORKED',
    })
    const { text } = await api.get('/checkpoint')
    await writeFile(file, text)
    expect(await look(['--checkpoint', file])).toMatchObject({ exit: 0, status: 'unchanged' })
    // It is remembered, although nothing came after it: it need not be given again.
    const later = new MemoryLog(key, leavesOf(3_000))
    expect(await look(['--no-sth'], await hostile(later.serve()))).toMatchObject({ exit: 1, violationType: 'FORKED' })
    await writeFile(file, 'no checkpoint')
    expect(await look(['--checkpoint', file, '--state', join(folder, 'b')])).toMatchObject({
      exit: 2,
      code: 'unreadable-state',
    })
  })
})

describe('a violation', () => {
  test('of which the log’s own key is on both sides is kept as a proof, once, and is one until it is forgotten', async () => {
    await monitor()
    const { checkpoint } = await readState()
    const fork = await forkOf(400)
    const found = await look(['--no-sth'], fork)
    expect(found).toMatchObject({ exit: 1, status: 'violated', isSecure: false, violationType: 'FORKED', size: null })
    const [file = '', ...more] = await evidenceFiles()
    expect([found.evidence, more]).toEqual([file, []])
    expect((await stat(file)).mode % 0o1000).toBe(0o600)
    const evidence = JSON.parse(await readFile(file, 'utf8')) as { known: Json; shown: Json; url: string }
    expect(evidence).toMatchObject({ known: { checkpoint }, violationType: 'FORKED', url: `${fork}/` })
    const proved = await run(['check', file, '--vkey', vkey])
    expect(proved).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/^does NOT hold: forked: the log signed root /),
    })
    expect(await run(['check', file, '--vkey', makeKey(origin).vkey])).toMatchObject({ status: 2 })

    expect(await look(['--no-sth'], fork)).toMatchObject({ exit: 1, evidence: file })
    expect(await evidenceFiles()).toEqual([file])
    expect((await readState()).checkpoint).toBe(checkpoint)
    const { status, stdout } = await monitor()
    expect({ status, stdout }).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('found before, see --forget:'),
    })
    expect(await monitor(['--forget'])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('forgotten: FORKED'),
    })
    expect((await monitor()).status).toBe(0)
    expect(await evidenceFiles()).toEqual([file])
  })

  test('is a log that went back', async () => {
    const { text } = await api.get('/checkpoint')
    await append(5)
    await monitor()
    const back = await hostile(({ path }) =>
      path === '/checkpoint' ? { status: 200, body: text } : { status: 404, body: '' },
    )
    const found = await look(['--no-sth'], back)
    expect(found).toMatchObject({ exit: 1, violationType: 'ROLLBACK' })
    expect(await run(['check', String(found.evidence), '--vkey', vkey, '--json'])).toMatchObject({
      status: 2,
      stdout: expect.stringContaining('"proves-nothing"'),
    })
  })

  test.each<[string, readonly string[], RegExp, (said: Said) => Said]>([
    ['TILE_MISMATCH', ['--tiles'], /^\/tile\/0\/000$/, flip],
    ['LEAF_MISMATCH', ['--entries'], /^\/tile\/entries\/000$/, flip],
    [
      'PAYLOAD_CORRUPT',
      ['--entries'],
      /^\/ct\/v1\/get-entries/,
      (said) =>
        withJson(said, ({ entries }) => ({
          entries: (entries as Json[]).map((entry) => ({ ...entry, extra_data: btoa('{"n":"another"}') })),
        })),
    ],
  ])('is %s: what is served is not of the signed tree', async (kind, args, which, change) => {
    const altered = await hostile(async ({ path }, forward) => {
      const said = await forward()
      return which.test(path) ? change(said) : said
    })
    const token = args.includes('--entries') ? ['--token-file', tokenFile] : []
    const found = await look([...args, ...token], altered)
    expect(found).toMatchObject({ exit: 1, violationType: kind, tilesSize: 0, entriesSize: 0 })
    const { files } = JSON.parse(await readFile(String(found.evidence), 'utf8')) as { files: Json[] }
    expect(files[0]?.path).toMatch(/^(tile\/0\/000|tile\/entries\/000|ct\/v1\/get-entries\/0)$/)
    expect(await look([...args, ...token], url)).toMatchObject({ exit: 1, status: 'unchanged', violationType: null })
  })

  test('is an STH of another tree, signed with the log’s other key', async () => {
    const head = { size: asTreeSize(100), timestampMs: Date.now(), root: new MemoryLog(key, leavesOf(100)).root() }
    const sth = { ...head, signature: await api.test.keys.signing.sth.sign(encodeTreeHead(head)) }
    const lying = await hostile(({ path }, forward) =>
      path === '/ct/v1/get-sth' ? { status: 200, body: JSON.stringify(formatSth(sth)) } : forward(),
    )
    expect(await look([], lying)).toMatchObject({ exit: 2, code: 'sth-mismatch' })
    const found = await look(['--sth-key', sthKey], lying)
    expect(found).toMatchObject({ exit: 1, violationType: 'STH_MISMATCH' })
    const file = String(found.evidence)
    expect(await run(['check', file, '--vkey', vkey])).toMatchObject({
      status: 2,
      stdout: expect.stringContaining('key of the STHs'),
    })
    expect(await run(['check', file, '--vkey', vkey, '--sth-key', sthKey])).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('forked: the log signed root '),
    })
  })
})

describe('what cannot be found out is no violation', () => {
  test('a signed tree head that is old: STALE, and what was shown is remembered', async () => {
    const old = await hostile(async ({ path }, forward) => {
      const said = await forward()
      if (path !== '/ct/v1/get-sth') return said
      return withJson(said, (sth) => ({ ...sth, timestamp: Number(sth.timestamp) - 600_000 }))
    })
    expect(await look([], old)).toMatchObject({ exit: 2, status: 'stale', code: 'STALE', isSecure: null, findings: [] })
    expect((await readState()).checkpoint).toContain(origin)
    expect(await look(['--max-age', '1h'], old)).toMatchObject({ exit: 0, status: 'unchanged' })
    expect(await look(['--no-sth'], old)).toMatchObject({ exit: 0, sthTimestampMs: null })
    // Altered on the way: it is not signed any more.
    expect(await look(['--sth-key', sthKey], old)).toMatchObject({ exit: 2, code: 'invalid-signature' })
  })

  test('nobody answers, or others than the log', async () => {
    expect(await look([], 'http://127.0.0.1:9')).toMatchObject({ exit: 2, status: 'unchecked', code: 'unavailable' })
    const { vkey: other } = makeKey(origin)
    const { status, stdout } = await run(['monitor', url, '--vkey', other, '--json'], {}, '', folder)
    expect({ ...(JSON.parse(stdout) as Json), status }).toMatchObject({ status: 2, code: 'unverified-note' })
  })

  test('a state of another log, or none at all, is left as it is', async () => {
    const state = join(folder, 'state')
    await monitor(['--state', state])
    const { vkey: other } = makeKey('other.example/log')
    const foreign = await run(['monitor', url, '--vkey', other, '--state', state], {}, '', folder)
    expect(foreign).toMatchObject({ status: 2, stderr: expect.stringContaining('is about the log "test.example/log"') })
    await writeFile(state, '{"format":1')
    expect(await monitor(['--state', state])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('is no state of a monitor'),
    })
    expect(await readFile(state, 'utf8')).toBe('{"format":1')
  })

  test('two monitors do not share a state', async () => {
    const child = spawnProgram(['monitor', url, '--vkey', vkey, '--watch', '--json'], {}, folder)
    const ended = finished(child)
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    const second = await monitor()
    child.kill('SIGTERM')
    expect(second).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('another monitor works with this state'),
    })
    expect((await ended).status).toBe(0)
  })

  test('what a server says does not reach the terminal as it is', async () => {
    const rude = await hostile(() => ({
      status: 403,
      body: '{"code":"no\\u001b[2J","detail":"\\u001b]0;x\\u0007\\u202e"}',
    }))
    const { status, stdout, stderr } = await monitor([], rude)
    expect(status).toBe(2)
    expect(`${stdout}${stderr}`).not.toMatch(/[\u001b\u0007\u202e]/)
  })
})

describe('alarms', () => {
  let receiver: Receiver
  let dead: Receiver
  beforeEach(async () => {
    receiver = await openReceiver('/hook')
    dead = await openReceiver('/ping')
  })
  afterEach(async () => {
    await receiver.close()
    await dead.close()
  })
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  const settings = (): Environment => ({
    DENDROLOG_WEBHOOK_URL: receiver.url,
    DENDROLOG_WEBHOOK_SECRET: secret,
    DENDROLOG_HEARTBEAT_URL: dead.url,
  })
  const pings = (): string[] => dead.received.map(({ path }) => path.replace(/\?.*/, ''))

  test('reach the hooks once a finding, and the dead-man service with each look', async () => {
    expect(await look([], url, settings())).toMatchObject({ exit: 0, stderr: '' })
    expect(pings()).toEqual(['/ping/start', '/ping'])
    const fork = await forkOf(500)
    const { evidence } = await look(['--no-sth'], fork, settings())
    await look(['--no-sth'], fork, settings())
    expect(receiver.received).toHaveLength(1)
    expect(JSON.parse(receiver.received[0]?.body ?? '')).toMatchObject({
      type: 'incident.opened',
      data: { origin, severity: 'critical', incident: { violationType: 'FORKED', evidence: { file: evidence } } },
    })
    expect(pings().slice(2)).toEqual(['/ping/start', '/ping/fail', '/ping/start', '/ping/fail'])
    expect(dead.received.at(-1)?.body).toContain('VIOLATION: FORKED')
  })

  test('that did not arrive are tried again with the next look, with the same id', async () => {
    await monitor()
    const fork = await forkOf(500)
    receiver.meet(410)
    expect((await look(['--no-sth'], fork, settings())).stderr).toContain('webhook was not told of FORKED: status 410')
    await look(['--no-sth'], fork, settings())
    await look(['--no-sth'], fork, settings())
    const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(1)
  })
})

test('whoever is to be told is told, also where nothing can be remembered', async () => {
  const told: Alarm[] = []
  const troubles: string[] = []
  const fork = await forkOf(9)
  const known = new MemoryLog(key, leavesOf(9, 3)).note()
  const monitor = new LogMonitor(
    { ...emptyState(origin), checkpoint: known },
    {
      ...{ client: new LogClient({ url: fork, vkey }), url: fork, vkey, sth: undefined, begin: undefined },
      ...{ stateFile: join(folder, 'gone', 'state'), evidenceFolder: '/dev/null/evidence', readsTiles: false },
      ...{ readsEntries: false, rules: undefined, onMatch: () => {}, makeId: () => 'id', nowMs: Date.now },
      onTrouble: (reason) => troubles.push(reason),
      hooks: [{ name: 'pager', deliver: async (alarm) => void told.push(alarm) }],
    },
  )
  for (let i = 0; i < 2; i++) {
    expect(statusOf(await monitor.look(new AbortController().signal))).toBe(1)
  }
  expect(told.map(({ id, incident }) => [id, incident.violationType])).toEqual([['id_opened', 'FORKED']])
  expect(troubles).toEqual(
    expect.arrayContaining([expect.stringMatching(/evidence/), expect.stringMatching(/remembered/)]),
  )
})

test.each([
  [[], 'want the URL'],
  [['ftp://x'], 'URL: want http'],
  [['http://u:p@127.0.0.1'], 'without user and password'],
  [['http://127.0.0.1', '--every', '10'], '--every: want a time'],
  [['http://127.0.0.1', '--every', '10s', '--watch'], 'want one of'],
  [['http://127.0.0.1', '--no-sth', '--max-age', '5m'], '--no-sth'],
  [['http://127.0.0.1', '--sth-key', 'AAAA'], '--sth-key: want a P-256 key'],
  [['http://127.0.0.1', '--token-file', 'x'], '--token-file is for'],
])('bad use is refused: %j', async (args, reason) => {
  const refused = monitorCommand.run([...args, '--vkey', vkey], new AbortController().signal)
  await expect(refused).rejects.toThrow(UsageError)
  await expect(refused).rejects.toThrow(reason)
})

test.each(['../../etc/passwd', '/abs', '..', 'a'.repeat(300), 'ü/\u202e'])(
  'a state file stays in its folder whatever the log is called: %j',
  (name) => {
    const file = defaultStateFile({ name, keyId: 1 }, '/folder')
    expect(file).toMatch(/^\/folder\/dendrolog-monitor-[A-Za-z0-9._-]{1,100}-00000001\.json$/)
  },
)
