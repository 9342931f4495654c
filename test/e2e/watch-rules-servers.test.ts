import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { makeServers, type Servers, untilLeads } from '../support/servers.ts'

// Of several servers the one that leads tells of matches, and the next one goes on where it was killed.

let folder: string
let servers: Servers
beforeAll(async () => {
  folder = await makeFolder()
  const path = join(folder, 'rules.json')
  const threshold = { count: 3, withinSeconds: 600 }
  const rules = [
    { name: 'burst', match: { action: 'refused' }, threshold },
    { name: 'each', match: { action: 'refused' } },
  ]
  await writeFile(path, JSON.stringify({ rules }))
  servers = await makeServers(2, {
    ...{ DENDROLOG_WATCH_RULES: path, DENDROLOG_PUBLIC_METRICS: 'true', DENDROLOG_VERIFIER: 'false' },
  })
}, 60_000)
afterAll(async () => {
  await servers.close()
  await removeFolder(folder)
})

async function metric({ url }: ServerProcess, name: string): Promise<string | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`dendrolog_${name} `))
  return line?.split(' ').at(-1)
}

const matches = (server: ServerProcess): Promise<readonly (string | undefined)[]> =>
  Promise.all(['burst', 'each'].map((rule) => metric(server, `watch_rule_matches_total{rule="${rule}"}`)))

async function append(server: ServerProcess, writer: string): Promise<void> {
  const event = { actorId: 'mallory', action: 'refused', resource: 'door', payload: {} }
  const answer = await fetch(`${server.url}/v1/entries`, {
    method: 'POST',
    headers: { authorization: `Bearer ${writer}`, 'content-type': 'application/json' },
    body: JSON.stringify(event),
  })
  expect(answer.status).toBe(201)
}

const untilMatches = (server: ServerProcess, want: readonly string[]): Promise<void> =>
  until(
    async () => String(await matches(server)) === String(want),
    () => `matches ${want}; ${server.output().slice(-2_000)}`,
  )

test('a standby tells nothing, and when it leads it counts on and repeats nothing', async () => {
  const first = await servers.start(0)
  await untilLeads(first)
  const second = await servers.start(1)
  await until(
    async () => (await metric(first, 'watch_rules_lag')) === '0',
    () => first.output(),
  )
  const { writer } = first.tokens
  await append(first, writer)
  await append(first, writer)
  await untilMatches(first, ['0', '2'])
  expect([await matches(second), await metric(second, 'watch_rules_size')]).toEqual([['0', '0'], undefined])
  await first.kill()
  await untilLeads(second)
  await append(second, writer)
  await untilMatches(second, ['1', '1'])
  expect(second.output()).not.toContain('a follower failed')
  await second.stop()
}, 90_000)
