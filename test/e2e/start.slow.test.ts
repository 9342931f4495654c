import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Environment,
  endAll,
  postmasterPid,
  type ServerProcess,
  startServer,
  tryServer,
  waitUntilReady,
} from '../support/server-process.ts'
import { hasSystemPostgres, type SystemPostgres, startSystemPostgres } from '../support/system-postgres.ts'
import { Load } from './load.ts'
import { createDatabase, expectRefused, prepareLogins } from './start-system.ts'
import { expectAcknowledged, expectWholeLog, withClient } from './whole-log.ts'

let parent: string
let dataDir: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-start-'))
  dataDir = join(parent, 'data')
})

afterEach(async () => {
  await endAll(dataDir)
  await rm(parent, { recursive: true, force: true })
})

async function loadFor(server: ServerProcess, milliseconds: number, load = loadOf(server)): Promise<Load> {
  const stop = new AbortController()
  const running = load.run(stop.signal, { batchers: 2, singles: 3 })
  await sleep(milliseconds)
  stop.abort()
  await running
  return load
}

function loadOf(server: ServerProcess): Load {
  return new Load(() => server.url, server.tokens.writer)
}

test('of two first starts on one folder at the same time one serves and the other is refused', async () => {
  const both = await Promise.all([tryServer(dataDir), tryServer(dataDir)])
  const serving = both.filter((each): each is ServerProcess => 'url' in each)
  const refused = both.filter((each) => 'status' in each)
  expect([serving.length, refused.length]).toEqual([1, 1])
  for (const each of refused) expect(expectRefused(each)).toContain(`${dataDir}: this data folder is in use`)
  for (const server of serving) {
    await waitUntilReady(server)
    expect((await loadFor(server, 200)).acknowledged.size).toBeGreaterThan(0)
    expect(await server.stop()).toBe(0)
  }
  expect(await postmasterPid(dataDir)).toBeUndefined()
})

test('a server that may open few files takes fewer connections and says so, and none where that is too few', async () => {
  const withLimit = (files: number): string[] => ['sh', '-c', `ulimit -n ${files} && exec "$@"`, 'sh']
  const server = await startServer(dataDir, {}, withLimit(1_024))
  await waitUntilReady(server)
  expect(server.output()).toMatch(/"connections":832,"insteadOf":16384,"openFiles":1024,.*ulimit -n/)
  expect(await server.stop()).toBe(0)
  expect(expectRefused(await tryServer(dataDir, {}, withLimit(200)))).toContain(
    'may have 200 files open, want at least',
  )
})

describe.skipIf(!hasSystemPostgres)('on a PostgreSQL of the system', () => {
  let system: SystemPostgres
  let databases = 0

  beforeAll(async () => {
    system = await startSystemPostgres()
  })

  afterAll(() => system.stop())

  const makeDatabase = (): Promise<string> => createDatabase(system.url, `log_${++databases}`)

  /** Environment of a server whose roles are its own: they are the cluster's, and tests share it. */
  async function makeEnvironment(): Promise<Environment & { DATABASE_URL: string }> {
    const url = await makeDatabase()
    return { DATABASE_URL: url, DENDROLOG_ROLE_PREFIX: `t${databases}_` }
  }

  test('a log is made, loaded, restarted with its database under load, and whole at the end', async () => {
    const environment = await makeEnvironment()
    const server = await startServer(dataDir, environment)
    await waitUntilReady(server)
    const load = loadOf(server)
    const stop = new AbortController()
    const running = load.run(stop.signal, { batchers: 2, singles: 3 })
    for (const mode of ['fast', 'immediate'] as const) {
      await sleep(300)
      system.restart(mode)
      await waitUntilReady(server)
    }
    await sleep(300)
    stop.abort()
    await running
    await load.settle()
    const config = { connectionString: environment.DATABASE_URL }
    await withClient(config, (client) => expectAcknowledged(client, load))
    expect(await expectWholeLog(config, server.url)).toBeGreaterThan(0)
    expect(load.refused).toBeGreaterThan(0)
    expect(await server.stop()).toBe(0)
  })

  test('a second server with its own empty folder is refused, and the first one goes on undisturbed', async () => {
    const environment = await makeEnvironment()
    const server = await startServer(dataDir, environment)
    await waitUntilReady(server)
    const load = await loadFor(server, 200)
    const refusal = expectRefused(await tryServer(join(parent, 'other'), environment))
    expect(refusal).toMatch(/the database holds a log, but .*other has not its keys.*Set DENDROLOG_DATA_DIR/)
    // New connections as the roles: their passwords are still those of the first.
    await server.kill()
    const again = await startServer(dataDir, environment)
    await waitUntilReady(again)
    await loadFor(again, 200, load)
    await withClient({ connectionString: environment.DATABASE_URL }, (client) => expectAcknowledged(client, load))
    expect(await again.stop()).toBe(0)
  })

  test('a second server on the folder of a running one is refused', async () => {
    const environment = await makeEnvironment()
    const server = await startServer(dataDir, environment)
    expect(expectRefused(await tryServer(dataDir, environment))).toContain('this data folder is in use')
    expect(await server.stop()).toBe(0)
  })

  test('the folder of a log is refused with an empty database, which stays empty', async () => {
    const environment = await makeEnvironment()
    expect(await (await startServer(dataDir, environment)).stop()).toBe(0)
    const empty = await makeDatabase()
    const refusal = expectRefused(await tryServer(dataDir, { ...environment, DATABASE_URL: empty }))
    expect(refusal).toMatch(/holds the keys of a log, but the database holds none/)
    await withClient({ connectionString: empty }, async (client) => {
      const { rows } = await client.query(`select from pg_catalog.pg_namespace where nspname = 'security'`)
      expect(rows).toHaveLength(0)
    })
  })

  test('a second log does not take the roles of one that runs on the same PostgreSQL', async () => {
    const environment = await makeEnvironment()
    const server = await startServer(dataDir, environment)
    await waitUntilReady(server)
    const second = { ...environment, DATABASE_URL: await makeDatabase() }
    expect(expectRefused(await tryServer(join(parent, 'second'), second))).toMatch(/DENDROLOG_ROLE_PREFIX: .*log_/)
    const third = await startServer(join(parent, 'third'), { ...second, DENDROLOG_ROLE_PREFIX: 'third_' })
    await waitUntilReady(third)
    expect(await third.stop()).toBe(0)
    expect(await server.stop()).toBe(0)
  })

  test('a server with the roles’ own logins, and no administrator’s, makes its log and serves it', async () => {
    const environment = await makeEnvironment()
    const logins = await prepareLogins(environment.DATABASE_URL, `t${databases}_`)
    const server = await startServer(dataDir, logins)
    await waitUntilReady(server)
    const load = await loadFor(server, 300)
    const config = { connectionString: environment.DATABASE_URL }
    await withClient(config, (client) => expectAcknowledged(client, load))
    expect(await expectWholeLog(config, server.url)).toBe(load.acknowledged.size)
    expect(await server.stop()).toBe(0)
  })
})
