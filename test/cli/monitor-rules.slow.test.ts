import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultStateFile } from '../../src/cli/monitor/state.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { readDeployed, readSample } from '../rules/events.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { type Finished, finished, makeFolder, removeFolder, run, spawnProgram } from './binary.ts'

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
  expect({ status, said: JSON.parse(stdout) }).toEqual({
    status: 0,
    said: { forgotten: 0, forgottenMatches: opened, untold: 0 },
  })
  expect(
    told()
      .slice(opened)
      .map(({ type }) => type),
  ).toEqual(Array(opened).fill('incident.closed'))
  const closed = hook.received.slice(opened).map(({ headers }) => headers['webhook-id'])
  const ids = hook.received.slice(0, opened).map(({ headers }) => String(headers['webhook-id']))
  expect(closed).toEqual(ids.map((id) => id.replace('_opened', '_closed')))
  await append([attack])
  await watch(rules)
  expect(told().slice(2 * opened)).toEqual([{ type: 'incident.opened', violationType: 'WATCH_LOGGING_OFF' }])
})

test('a hook that is away hears of the end with a later look, whoever forgets', async () => {
  const rules = join(folder, 'rules.json')
  await writeFile(rules, JSON.stringify({ rules: [{ name: 'attack', match: { action: 'cloudtrail.StopLogging' } }] }))
  await append([attack, { ...attack, actorId: 'arn:trudy' }])
  await watch(rules)
  const opened = { type: 'incident.opened', violationType: 'WATCH_ATTACK' }
  expect(told()).toEqual([opened, opened])
  // Without the settings of hooks nobody can be told now; and then the hook is away.
  const forgotten = await monitor(['--forget', '--json'], {})
  expect(JSON.parse(forgotten.stdout)).toEqual({ forgotten: 0, forgottenMatches: 2, untold: 2 })
  expect(forgotten.stderr).toContain('the next looks try again')
  hook.meet(410)
  const away = await monitor(['--rules', rules, '--token-file', tokenFile])
  expect(away.stderr).toContain('webhook was not told that WATCH_ATTACK is over: status 410')
  await watch(rules)
  await watch(rules)
  expect(
    told()
      .slice(3)
      .map(({ type }) => type),
  ).toEqual(['incident.closed', 'incident.closed'])
})

test('one that watches tells while it goes on, and after a kill the next tells the rest', async () => {
  const rules = join(folder, 'rules.json')
  await writeFile(rules, JSON.stringify({ rules: [{ name: 'peggy', match: { actorId: 'peggy' } }] }))
  await watch(rules)
  const args = ['monitor', url, '--vkey', vkey, '--every', '1s', '--json', '--rules', rules, '--token-file', tokenFile]
  const child = spawnProgram(args, alarmed(), folder)
  const ended = finished(child)
  const lines: Line[] = []
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    lines.push(JSON.parse(line) as Line)
  })
  const peggy = submissionWith({ actorId: 'peggy' })
  await until(
    () => lines.length > 0,
    () => 'no look',
  )
  await append([peggy])
  await until(
    () => lines.at(-1)?.status === 'unchanged' && matchesIn(lines).length > 0,
    () => JSON.stringify(lines),
  )
  child.kill('SIGKILL')
  await ended
  expect(matchesIn(lines)).toMatchObject([{ rule: 'peggy', severity: 'warning' }])
  await append([peggy])
  const rest = matchesIn((await watch(rules)).lines)
  expect(rest).toHaveLength(1)
  expect(rest[0]?.entry.sequenceNumber).toBeGreaterThan(matchesIn(lines)[0]?.entry.sequenceNumber ?? 0)
  expect(told()).toEqual([{ type: 'incident.opened', violationType: 'WATCH_PEGGY' }])
})

test('PagerDuty has an alert of the severity of the rule, and its end', async () => {
  const rules = join(folder, 'rules.json')
  await writeFile(rules, JSON.stringify({ rules: [{ name: 'oscar', severity: 'error', match: { actorId: 'oscar' } }] }))
  await append([submissionWith({ actorId: 'oscar' })])
  const settings = { DENDROLOG_PAGERDUTY_KEY: '0'.repeat(32), DENDROLOG_PAGERDUTY_URL: hook.url }
  await monitor(['--rules', rules, '--token-file', tokenFile], settings)
  await monitor(['--forget'], settings)
  const events = hook.received.map(({ body }) => JSON.parse(body) as { dedup_key: string })
  const [trigger] = events
  expect(events).toMatchObject([
    { event_action: 'trigger', payload: { severity: 'error', class: 'WATCH_OSCAR' } },
    { event_action: 'resolve', dedup_key: trigger?.dedup_key },
  ])
})

test('a window goes on over looks, and a look that was not remembered counts nothing twice', async () => {
  const rules = join(folder, 'rules.json')
  const threshold = { count: 3, withinSeconds: 3_600, by: ['actorId'] }
  await writeFile(rules, JSON.stringify({ rules: [{ name: 'thrice', match: { actorId: ['eve'] }, threshold }] }))
  await watch(rules)
  const eve = submissionWith({ actorId: 'eve' })
  await append([eve, eve])
  const before = await readFiles()
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
  // As if the monitor had been killed between its two files, and as if an older one had been restored.
  await writeFile(`${stateFile()}.rules`, before.rules)
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
  await writeFile(stateFile(), before.state)
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
  await append([eve])
  expect(matchesIn((await watch(rules)).lines)).toMatchObject([{ rule: 'thrice', because: { count: 3 } }])
  // What was told is not told again when rules see it again.
  await writeFile(`${stateFile()}.rules`, before.rules)
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
})

const readFiles = async (): Promise<{ readonly state: string; readonly rules: string }> => ({
  state: await readFile(stateFile(), 'utf8'),
  rules: await readFile(`${stateFile()}.rules`, 'utf8'),
})

test('entries that were read without rules are tried, and a rule that changed begins anew', async () => {
  const read = await monitor(['--entries', '--token-file', tokenFile])
  expect(read.status).toBe(0)
  const rules = join(folder, 'rules.json')
  const match = { action: 'cloudtrail.CreateTrail' }
  const write = (rule: object): Promise<void> =>
    writeFile(rules, JSON.stringify({ rules: [{ name: 'first', match, ...rule }] }))
  await write({})
  expect(rulesIn((await watch(rules)).lines)).toEqual(['first'])
  await monitor(['--entries', '--token-file', tokenFile])
  await append([submissionWith({ action: 'cloudtrail.CreateTrail' })])
  await monitor(['--entries', '--token-file', tokenFile])
  expect(matchesIn((await watch(rules)).lines)).toHaveLength(1)
  await write({ severity: 'info' })
  expect(matchesIn((await watch(rules)).lines)).toEqual([])
})

test('without a token it is said what is missing, and nothing is taken for read', async () => {
  const rules = join(home, 'cloudtrail.json')
  const refused = await monitor(['--rules', rules])
  expect(refused.status).toBe(2)
  expect(refused.stdout).toContain('--entries and --rules want --token-file with the token of an auditor')
  expect(told()).toEqual([])
  expect(rulesIn((await watch(rules)).lines)).toContain('logging-off')
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
