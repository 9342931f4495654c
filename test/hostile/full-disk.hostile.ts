// File systems that fill, below PostgreSQL and below the signer's memory. Run by `.ci/run`, or as root:
//   npm run build && DENDROLOG_TEST_MOUNTS=private unshare --mount npx vitest run --config test/hostile/vitest.config.ts
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientConfig } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Cluster, openCluster } from '../../src/store/embedded.ts'
import { Load } from '../e2e/load.ts'
import { expectAcknowledged, expectWholeLog, withClient } from '../e2e/whole-log.ts'
import { adminConfig, endAll, type ServerProcess, startServer, waitUntilReady } from '../support/server-process.ts'
import { mountSmallDisk, type SmallDisk, whyNoMounts } from './small-disk.ts'

const diskMib = 64
const roomyMib = 256
const fillMs = 60_000
const refusalsMin = 20
const loops = { batchers: 3, singles: 3 }
const readPaths = [
  ...['/checkpoint', '/v1/entries/1', '/v1/entries/1/proof', '/v1/entries?limit=1', '/v1/checkpoints'],
  ...['/v1/proofs/inclusion?index=0&size=1', '/ct/v1/get-entries?start=0&end=0', '/tile/0/000.p/1'],
]

const reason = whyNoMounts()
if (reason !== undefined) console.log(`hostile: 4 tests of full disks are skipped: ${reason}`)

let folder: string
let disk: SmallDisk
let server: ServerProcess | undefined
let cluster: Cluster | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-full-'))
  await mkdir(join(folder, 'disk'))
})
afterEach(async () => {
  if (server !== undefined) await endAll(server.dataDir)
  await cluster?.stop()
  disk?.unmount()
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  server = undefined
  cluster = undefined
})

/** Loads a server until it has refused for a while, and says what it answered. */
async function loadUntilFull(server: ServerProcess, load: Load): Promise<void> {
  const stop = new AbortController()
  const running = load.run(stop.signal, loops)
  const deadline = performance.now() + fillMs
  while (load.refused < refusalsMin && performance.now() < deadline) await sleep(50)
  stop.abort()
  await running
  expect(load.contradictions).toEqual([])
  expect(load.refused, `refusals; ${server.output().slice(-2_000)}`).toBeGreaterThanOrEqual(refusalsMin)
}

async function expectNotReady({ url }: ServerProcess): Promise<void> {
  const answer = await fetch(`${url}/readyz`)
  expect([answer.status, await answer.json()]).toMatchObject([503, { status: 'not ready' }])
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
}

/** What was acknowledged is there, new events are taken by the same process, and the whole log holds. */
async function expectGoesOn(server: ServerProcess, load: Load, admin: () => Promise<ClientConfig>): Promise<void> {
  await waitUntilReady(server, 60_000)
  const acknowledged = load.acknowledged.size
  await load.settle()
  await load.sendOne()
  expect(load.acknowledged.size).toBeGreaterThan(acknowledged)
  expect(server.child.exitCode).toBe(null)
  const config = await admin()
  await withClient(config, (client) => expectAcknowledged(client, load))
  const size = await expectWholeLog(config, server.url)
  console.log(
    `hostile: full at ${acknowledged} acknowledged, ${load.refused} refused, ${load.lost} lost; ${size} at the end`,
  )
}

describe.skipIf(reason !== undefined)('a file system of 64 MiB that fills', () => {
  test('below a PostgreSQL of its own: 503, not ready, and the same server goes on when there is room', async () => {
    disk = mountSmallDisk(join(folder, 'disk'), diskMib)
    const dataDir = join(disk.dir, 'cluster')
    cluster = await openCluster({ dataDir, settings: { min_wal_size: '32MB', max_wal_size: '32MB' } })
    server = await startServer(join(folder, 'data'), { DATABASE_URL: urlOf(cluster.config) })
    await waitUntilReady(server)
    const load = new Load(() => server?.url ?? '', server.tokens.writer)
    await loadUntilFull(server, load)
    await expectNotReady(server)
    disk.resize(roomyMib)
    // What PostgreSQL's administrator does where it could not recover without room.
    await cluster.ensureRunning(AbortSignal.timeout(60_000))
    const { config } = cluster
    await expectGoesOn(server, load, async () => config)
  })

  test('below PostgreSQL, to the last byte: not ready between attempts either, and what is there is read', async () => {
    disk = mountSmallDisk(join(folder, 'disk'), 2 * diskMib)
    cluster = await openCluster({ dataDir: join(disk.dir, 'cluster') })
    server = await startServer(join(folder, 'data'), { DATABASE_URL: urlOf(cluster.config) })
    await waitUntilReady(server)
    const load = new Load(() => server?.url ?? '', server.tokens.writer)
    await load.sendOne()
    await disk.fill()
    await loadUntilFull(server, load)
    for (let i = 0; i < 40; i++, await sleep(50)) await expectNotReady(server)
    for (const path of readPaths) {
      const answer = await fetch(`${server.url}${path}`, {
        headers: { authorization: `Bearer ${server.tokens.auditor}` },
      })
      expect([path, answer.status]).toEqual([path, 200])
    }
    await disk.clear()
    const { config } = cluster
    await expectGoesOn(server, load, async () => config)
  })

  test('below the whole data folder: the embedded PostgreSQL and the server go on by themselves', async () => {
    disk = mountSmallDisk(join(folder, 'disk'), diskMib)
    server = await startServer(join(disk.dir, 'data'))
    await waitUntilReady(server)
    const load = new Load(() => server?.url ?? '', server.tokens.writer)
    await loadUntilFull(server, load)
    await expectNotReady(server)
    disk.resize(roomyMib)
    const { dataDir } = server
    await expectGoesOn(server, load, () => adminConfig(dataDir))
  })

  test('below the signer alone: nothing is signed that it could not remember, and it goes on when there is room', async () => {
    disk = mountSmallDisk(join(folder, 'disk'), 1)
    const environment = { DENDROLOG_SIGNER_STATE: join(disk.dir, 'signer', 'state.json') }
    await mkdir(dirname(environment.DENDROLOG_SIGNER_STATE))
    server = await startServer(join(folder, 'data'), environment)
    await waitUntilReady(server)
    const load = new Load(() => server?.url ?? '', server.tokens.writer)
    await load.sendOne()
    await disk.fill()
    await loadUntilFull(server, load)
    await expectNotReady(server)
    await disk.clear()
    const { dataDir } = server
    await expectGoesOn(server, load, () => adminConfig(dataDir))
  })
})

function urlOf({ host, port, user, password, database }: ClientConfig): string {
  const secret = encodeURIComponent(String(password))
  return `postgresql://${user}:${secret}@localhost:${port}/${database}?host=${encodeURIComponent(host ?? '')}`
}
