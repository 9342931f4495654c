import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from './binary.ts'

const deployed = fileURLToPath(new URL('../../deploy/watch-rules/cloudtrail.json', import.meta.url))
const sample = fileURLToPath(new URL('../../deploy/sample-events/cloudtrail.ndjson.gz', import.meta.url))

let folder: string
beforeAll(async () => {
  folder = await makeFolder()
})
afterAll(() => removeFolder(folder))

async function fileOf(name: string, text: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

const event = { actorId: 'a\u001b[2J', action: 'b', resource: 'c', payload: { secret: 'do not show' } }

test('a file that can be used is status 0 and names its rules', async () => {
  const { status, stdout } = await run(['rules', 'check', deployed])
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^12 rules: denied-burst, new-access-key, /)])
})

test('a file that cannot be used is status 2, with the place', async () => {
  const path = await fileOf('bad.json', '{"rules":[{"name":"r","match":{"actor":"a"}}]}')
  const { status, stdout, stderr } = await run(['rules', 'check', path, '--json'])
  expect([status, JSON.parse(stdout)]).toEqual([2, { error: expect.stringContaining('at "/rules/0/match/actor"') }])
  expect(stderr).toContain('at "/rules/0/match/actor": unknown member; want actorId, action, ')
})

test('matches of events are shown, a line each', async () => {
  const { status, stdout } = await run(['rules', 'check', deployed, '--events', sample])
  expect(status).toBe(0)
  expect(stdout.split('\n').filter((line) => / {2}logging-off: /.test(line))).toHaveLength(4)
  expect(stdout).toMatch(/^ {4}56 {2}error {5}denied-burst: 5 or more within 300 s of actorId "arn:aws:sts:/m)
})

test('events come from standard input too, and nothing of their payloads is shown', async () => {
  const path = await fileOf('all.json', '{"rules":[{"name":"all","match":{"payload":{"/secret":"*"}}}]}')
  const input = `${JSON.stringify(event)}\n\n${JSON.stringify({ ...event, payload: {} })}\n`
  const text = await run(['rules', 'check', path, '--events', '-'], {}, input)
  expect([text.status, text.stdout]).toEqual([0, '     1  warning   all: "b" of "c" by "a\\u001b[2J" from ::\n'])
  const { stdout } = await run(['rules', 'check', path, '--events', '-', '--json'], {}, input)
  expect(JSON.parse(stdout)).toMatchObject({ rules: ['all'], events: 2, matches: [{ rule: 'all', group: {} }] })
  expect(stdout).not.toContain('do not show')
})

test('what is no event is status 2, with the line', async () => {
  const lines = [JSON.stringify(event), '{"actorId":7}'].join('\n')
  const path = await fileOf('events.ndjson', lines)
  const { status, stderr } = await run(['rules', 'check', deployed, '--events', path])
  expect([status, stderr]).toEqual([2, expect.stringContaining('events.ndjson: line 2: want a text as actorId')])
  const cut = await fileOf('cut.gz', new Uint8Array([0x1f, 0x8b, 8, 0, 0]))
  expect((await run(['rules', 'check', deployed, '--events', cut])).status).toBe(2)
  expect((await run(['rules', 'check', deployed, '--events', join(folder, 'none')])).status).toBe(2)
})
