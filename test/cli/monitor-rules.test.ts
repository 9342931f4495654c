import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultStateFile } from '../../src/cli/monitor/state.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { readDeployed, readSample } from '../rules/events.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { type Finished, makeFolder, removeFolder, run } from './binary.ts'

// Watch rules from outside: the real program reads a real log as an auditor, and tells what its rules match.

let api: TestApi
let home = ''
let url = ''
let vkey = ''
let tokenFile = ''
let folder = ''
let hook: Receiver

beforeAll(async () => {
  api = await openTestApi()
  home = await makeFolder()
  url = `http://127.0.0.1:${(await api.listen()).port}`
  vkey = api.test.keys.vkey
  tokenFile = join(home, 'token')
  await writeFile(tokenFile, api.tokens.auditor, { mode: 0o600 })
  await writeFile(join(home, 'cloudtrail.json'), JSON.stringify(await readDeployed('cloudtrail.json')))
  const events = await readSample()
  for (let from = 0; from < events.length; from += 500) await append(events.slice(from, from + 500))
}, 120_000)
afterAll(async () => {
  await api.close()
  await removeFolder(home)
})
beforeEach(async () => {
  folder = await makeFolder()
  hook = await openReceiver('/hook')
})
afterEach(async () => {
  await hook.close()
  await removeFolder(folder)
})

async function append(events: readonly object[]): Promise<void> {
  const lines = events.map((event) => JSON.stringify(event)).join('\n')
  const answer = await api.post(lines, { 'content-type': 'application/x-ndjson' }, '?wait=published')
  expect(answer.status).toBe(200)
}

const alarmed = (): Readonly<Record<string, string>> => ({
  DENDROLOG_WEBHOOK_URL: hook.url,
  DENDROLOG_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
})

function monitor(args: readonly string[], environment = alarmed()): Promise<Finished> {
  return run(['monitor', url, '--vkey', vkey, ...args], environment, '', folder)
}

type Line = { readonly status: string; readonly rule: string; readonly entry: { readonly sequenceNumber: number } }

async function watch(rules: string): Promise<{ readonly exit: number | null; readonly lines: readonly Line[] }> {
  const { status, stdout, stderr } = await monitor(['--json', '--rules', rules, '--token-file', tokenFile])
  expect(stderr).toBe('')
  const lines = stdout.trim().split('\n')
  return { exit: status, lines: lines.map((line) => JSON.parse(line) as Line) }
}

const matchesIn = (lines: readonly Line[]): readonly Line[] => lines.filter(({ status }) => status === 'matched')
const rulesIn = (lines: readonly Line[]): readonly string[] =>
  [...new Set(matchesIn(lines).map(({ rule }) => rule))].sort()
const told = (): { readonly type: string; readonly violationType: string }[] =>
  hook.received.map(({ body }) => {
    const { type, data } = JSON.parse(body) as { type: string; data: { incident: { violationType: string } } }
    return { type, violationType: data.incident.violationType }
  })
const stateFile = (): string => join(folder, defaultStateFile(parseVkey(vkey), '.'))

const attack = submissionWith({ actorId: 'arn:mallory', action: 'cloudtrail.StopLogging', resource: 'trail/1' })

test('the attack steps of the sample are found, told once, and no violation', async () => {
  const rules = join(home, 'cloudtrail.json')
  const first = await watch(rules)
  expect(first.exit).toBe(0)
  expect(first.lines.at(-1)).toMatchObject({ status: 'advanced', isSecure: true, findings: [] })
  expect(rulesIn(first.lines)).toEqual([
    'administrator-access',
    'denied-burst',
    'logging-off',
    'new-access-key',
    'password-data-requested',
    'port-opened-to-all',
    'privilege-escalation',
    'secrets-harvested',
    'shared-outside',
  ])
  const opened = told()
  expect(new Set(opened.map(({ type }) => type))).toEqual(new Set(['incident.opened']))
  expect(opened.map(({ violationType }) => violationType).filter((type) => type === 'WATCH_LOGGING_OFF')).toHaveLength(
    1,
  )
  // What was read is not read again, nor told.
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
  expect(told()).toHaveLength(opened.length)
  // The same again: a line, and no further alarm.
  await append([attack])
  const again = matchesIn((await watch(rules)).lines)
  expect(again).toMatchObject([{ rule: 'logging-off', severity: 'critical', entry: { actorId: 'arn:mallory' } }])
  expect(told().slice(opened.length)).toEqual([{ type: 'incident.opened', violationType: 'WATCH_LOGGING_OFF' }])
  await append([attack])
  expect(matchesIn((await watch(rules)).lines)).toHaveLength(1)
  expect(told()).toHaveLength(opened.length + 1)
  expect((await stat(`${stateFile()}.rules`)).mode % 0o1000).toBe(0o600)
})

test('what is forgotten is closed with the hooks, and opens anew', async () => {
  const rules = join(home, 'cloudtrail.json')
  await watch(rules)
  const opened = told().length
  const { status, stdout } = await monitor(['--forget', '--json'])
  expect({ status, said: JSON.parse(stdout) }).toEqual({ status: 0, said: { forgotten: 0, forgottenMatches: opened } })
  expect(
    told()
      .slice(opened)
      .map(({ type }) => type),
  ).toEqual(Array(opened).fill('incident.closed'))
  await append([attack])
  await watch(rules)
  expect(told().slice(2 * opened)).toEqual([{ type: 'incident.opened', violationType: 'WATCH_LOGGING_OFF' }])
})

test('a window goes on over looks, and a look that was not remembered counts nothing twice', async () => {
  const rules = join(folder, 'rules.json')
  const threshold = { count: 3, withinSeconds: 3_600, by: ['actorId'] }
  await writeFile(rules, JSON.stringify({ rules: [{ name: 'thrice', match: { actorId: ['eve'] }, threshold }] }))
  await watch(rules)
  const eve = submissionWith({ actorId: 'eve' })
  await append([eve, eve])
  const before = await readFile(stateFile(), 'utf8')
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
  // As if the monitor had been killed between its two files.
  await writeFile(stateFile(), before)
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
  await append([eve])
  expect(matchesIn((await watch(rules)).lines)).toMatchObject([{ rule: 'thrice', because: { count: 3 } }])
})

test('rules that cannot be used are refused with their place, and so is a state of another log', async () => {
  const rules = join(folder, 'rules.json')
  await writeFile(rules, '{"rules": [{"name": "x", "match": {"nobody": ["a"]}}]}')
  const refused = await monitor(['--rules', rules, '--token-file', tokenFile])
  expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining(`--rules ${rules}: `) })
  expect(refused.stderr).toContain('nobody')
  await writeFile(`${stateFile()}.rules`, '{"format":1,"origin":"other","position":1,"state":"{}"}', { mode: 0o600 })
  const other = await monitor(['--rules', join(home, 'cloudtrail.json'), '--token-file', tokenFile])
  expect(other).toMatchObject({ status: 2, stderr: expect.stringContaining('is about the log "other"') })
})
