import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ServerProcess } from '../support/server-process.ts'
import { isReadyForWrites, makeServers, type Servers, untilLeads } from '../support/servers.ts'
import { Load } from './load.ts'
import { expectAcknowledged, expectWholeLog, withClient } from './whole-log.ts'

let servers: Servers
let running: ServerProcess[]
let load: Load
beforeAll(async () => {
  servers = await makeServers(2)
  running = [await servers.start(0), await servers.start(1)]
  let n = 0
  load = new Load(() => (running[n++ % 2] as ServerProcess).url, first().tokens.writer)
}, 60_000)
afterAll(() => servers.close())

const first = (): ServerProcess => running[0] as ServerProcess
const second = (): ServerProcess => running[1] as ServerProcess

test('of two servers one leads; the other serves all reads, refuses submissions and can be told apart', async () => {
  await untilLeads(first())
  const headers = { authorization: `Bearer ${first().tokens.writer}`, 'content-type': 'application/json' }
  const event = { actorId: 'a', action: 'b', resource: 'c', payload: { d: 1 } }
  const post = (url: string): Promise<Response> =>
    fetch(`${url}/v1/entries`, { method: 'POST', headers, body: JSON.stringify(event) })
  const accepted = await post(first().url)
  expect(accepted.status).toBe(201)
  const { entry } = (await accepted.json()) as { entry: { id: string; sequenceNumber: number } }
  load.sent.add(entry.id)
  load.acknowledged.set(entry.id, entry.sequenceNumber - 1)

  const refused = await post(second().url)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await refused.json()).toMatchObject({ code: 'not-leader' })
  await untilServed(second(), `/v1/entries/${entry.sequenceNumber}/proof`)

  const ready = await fetch(`${second().url}/readyz`)
  expect([ready.status, ready.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await ready.json()).toMatchObject({ status: 'standby', code: 'NOT_LEADER', isLeader: false })
  expect((await fetch(`${second().url}/readyz?for=reads`)).status).toBe(200)
  expect((await fetch(`${first().url}/readyz?for=reads`)).status).toBe(200)
  expect((await fetch(`${first().url}/readyz?for=fun`)).status).toBe(400)
  const admin = { headers: { authorization: `Bearer ${first().tokens.admin}` } }
  const metrics = await Promise.all(running.map(async ({ url }) => (await fetch(`${url}/metrics`, admin)).text()))
  expect(metrics.map((text) => /^dendrolog_leader (\d)$/m.exec(text)?.[1])).toEqual(['1', '0'])
})

test('nothing acknowledged is lost when the leader is killed, comes back as standby, and is asked to stop', async () => {
  const stop = new AbortController()
  const loading = load.run(stop.signal, { batchers: 2, singles: 3 })
  await sleep(300)
  await first().kill()
  const tookMs = [await untilLeads(second())]
  running[0] = await servers.start(0)
  expect(await isReadyForWrites(first())).toBe(false)
  const stopped = second().stop()
  tookMs.push(await untilLeads(first()))
  expect(await stopped).toBe(0)
  running[1] = await servers.start(1)
  await sleep(200)
  stop.abort()
  await loading
  console.log(`take-over after SIGKILL ${tookMs[0]?.toFixed(0)} ms, after SIGTERM ${tookMs[1]?.toFixed(0)} ms`)
  await load.settle()
  const reader = servers.database.as('auditor_reader_role')
  await withClient(reader, (client) => expectAcknowledged(client, load))
  const counts = await Promise.all(running.map(({ url }) => expectWholeLog(reader, url)))
  expect(counts[0]).toBeGreaterThanOrEqual(load.acknowledged.size)
  expect(load.refused).toBeGreaterThan(0)
  expect(await Promise.all(running.map((server) => server.stop()))).toEqual([0, 0])
})

async function untilServed({ url }: ServerProcess, path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { status } = await fetch(`${url}${path}`)
    if (status === 200) return
    expect(tries, path).toBeLessThan(100)
    await sleep(50)
  }
}
