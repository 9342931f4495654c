import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  adminConfig,
  endAll,
  postmasterPid,
  type ServerProcess,
  startServer,
  waitUntilReady,
} from '../support/server-process.ts'
import { Load, payloadMark } from './load.ts'
import { expectAcknowledged, expectWholeLog, withClient } from './whole-log.ts'

let dataDir: string
let server: ServerProcess

beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'dendrolog-shutdown-')), 'data')
  server = await startServer(dataDir)
  await waitUntilReady(server)
})

afterEach(async () => {
  await endAll(dataDir)
  await rm(join(dataDir, '..'), { recursive: true, force: true })
})

test('a server that is told to stop under load answers what it accepted, stops PostgreSQL and exits 0', async () => {
  const load = new Load(() => server.url, server.tokens.writer)
  const stop = new AbortController()
  const running = load.run(stop.signal, { batchers: 3, singles: 20 })
  await sleep(500)
  const status = await server.stop()
  stop.abort()
  await running
  expect(status).toBe(0)
  expect(server.output()).toMatch(/"msg":"stopped"/)
  expect(server.output()).not.toMatch(/"level":[56]0/)
  expect(await postmasterPid(dataDir)).toBeUndefined()
  server = await startServer(dataDir)
  await waitUntilReady(server)
  const config = await adminConfig(dataDir)
  await expectWholeLog(config, server.url)
  await withClient(config, async (client) => {
    await expectAcknowledged(client, load)
    // Nothing went in without an answer: the answer to an accepted request is never cut off.
    const { rows } = await client.query<{ event_id: string }>('select event_id from security.audit_logs')
    expect(rows.filter(({ event_id }) => !load.acknowledged.has(event_id))).toEqual([])
  })
  expect(await server.stop()).toBe(0)
})

test('a request that is complete only after the signal gets 503, a time to come again, and the end of its connection', async () => {
  const event = JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { late: true } })
  const socket = await openRequest(event.length)
  const status = server.stop()
  await sleep(300)
  socket.write(event)
  const answer = await readAll(socket)
  expect(answer).toMatch(/^HTTP\/1\.1 503 /)
  expect(answer).toMatch(/\r\nretry-after: [1-9]\d*\r\n/i)
  expect(answer).toMatch(/\r\nconnection: close\r\n/i)
  expect(await status).toBe(0)
})

test('a second signal ends a server that waits for a client; the next start adopts its PostgreSQL', async () => {
  const socket = await openRequest(1_000)
  server.child.kill('SIGTERM')
  await sleep(1_500)
  expect(server.child.exitCode).toBeNull()
  expect(await server.stop()).toBe(2)
  socket.destroy()
  const pid = await postmasterPid(dataDir)
  expect(pid).toBeDefined()
  server = await startServer(dataDir)
  await waitUntilReady(server)
  expect(await postmasterPid(dataDir)).toBe(pid)
  expect(await server.stop()).toBe(0)
})

test('the data folder is closed to others, and no log has a token, a key or a payload', async () => {
  const load = new Load(() => server.url, server.tokens.writer)
  const stop = new AbortController()
  const running = load.run(stop.signal, { batchers: 1, singles: 2 })
  await sleep(200)
  await postRefused(`{"payload":{"note":"${payloadMark}"}}`)
  await postRefused(`{"id":"x","actorId":"${payloadMark}","action":1}`)
  process.kill((await postmasterPid(dataDir)) ?? 0, 'SIGKILL')
  await sleep(1_000)
  await waitUntilReady(server)
  stop.abort()
  await running
  expect(await modesBelow(dataDir)).toEqual([])
  const logs = server.output() + (await readFile(join(dataDir, 'pg.log'), 'utf8'))
  const secrets = [payloadMark, ...Object.values(server.tokens), ...(await readKeys())]
  expect(secrets.length).toBeGreaterThan(10)
  expect(secrets.filter((secret) => logs.includes(secret))).toEqual([])
  expect(await server.stop()).toBe(0)
})

/** The head of a request whose body of `length` bytes is still to come. */
async function openRequest(length: number): Promise<Socket> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(
    'POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
      `Authorization: Bearer ${server.tokens.writer}\r\nContent-Length: ${length}\r\n\r\n`,
  )
  // Until it is being read, so that it is no request of the time after the signal.
  await sleep(300)
  return socket
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

async function postRefused(body: string): Promise<void> {
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  const response = await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })
  await response.text()
  expect(response.status).toBe(400)
}

/** What others could read or write: but for the data folder itself (0711), everything is closed. */
async function modesBelow(dir: string): Promise<string[]> {
  const modeOf = async (path: string): Promise<number> => (await stat(path)).mode % 0o1000
  const open = (await modeOf(dir)) === 0o711 ? [] : [dir]
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const want = entry.isDirectory() ? 0o700 : 0o600
    if ((await modeOf(join(dir, entry.name))) !== want) open.push(entry.name)
  }
  for (const name of await readdir(join(dir, 'keys'))) {
    if ((await modeOf(join(dir, 'keys', name))) !== 0o600) open.push(name)
  }
  return open
}

/** Lines and passwords of all key files. */
async function readKeys(): Promise<string[]> {
  const names = await readdir(join(dataDir, 'keys'))
  const texts = await Promise.all(names.map((name) => readFile(join(dataDir, 'keys', name), 'utf8')))
  return texts.flatMap((text) => text.match(/[\w+/-]{24,}/g) ?? [])
}
