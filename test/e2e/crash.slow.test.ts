import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  adminConfig,
  childrenOf,
  endAll,
  killPostgres,
  postmasterPid,
  restartPostgres,
  type ServerProcess,
  startServer,
  waitUntilReady,
} from '../support/server-process.ts'
import { Load } from './load.ts'
import { expectAcknowledged, expectWholeLog, withClient } from './whole-log.ts'

/** Of all kinds together. A round takes some 4 s. */
const rounds = Number(process.env.DENDROLOG_TEST_ROUNDS ?? 2)
const testMs = 30_000 + rounds * 15_000
const clients = { batchers: 3, singles: 5 }

let dataDir: string
let server: ServerProcess
let load: Load

beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'dendrolog-crash-')), 'data')
  server = await startServer(dataDir)
  load = new Load(() => server.url, server.tokens.writer)
})

afterEach(async () => {
  await endAll(dataDir)
  await rm(join(dataDir, '..'), { recursive: true, force: true })
})

/** Between 150 and 650 ms: long enough for some commits, and never at the same place. */
function someTime(): Promise<void> {
  return sleep(150 + 500 * Math.random())
}

/** Runs the load, does `harm` in the middle of it, and lets it run on until the log is ready again. */
async function harmUnderLoad(harm: () => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const running = load.run(stop.signal, clients)
  await someTime()
  await harm()
  await waitUntilReady(server)
  await someTime()
  stop.abort()
  await running
  await withClient(await adminConfig(dataDir), (client) => expectAcknowledged(client, load))
}

/** Everything that is left is sent again, so that retries meet what was written without an answer. */
async function expectSettled(): Promise<void> {
  await load.settle()
  const config = await adminConfig(dataDir)
  await withClient(config, (client) => expectAcknowledged(client, load))
  expect(await expectWholeLog(config, server.url)).toBeGreaterThanOrEqual(load.acknowledged.size)
  expect(await server.stop()).toBe(0)
}

describe('under load', () => {
  test(
    `nothing acknowledged is lost when the server is killed, ${Math.ceil(rounds / 2)} times`,
    async () => {
      for (let round = 0; round < rounds / 2; round++) {
        await harmUnderLoad(async () => {
          await server.kill()
          server = await startServer(dataDir)
        })
      }
      expect(load.lost).toBeGreaterThan(0)
      await expectSettled()
    },
    testMs,
  )

  test(
    `nothing acknowledged is lost when PostgreSQL is killed, ${Math.floor(rounds / 2)} times, and it comes back by itself`,
    async () => {
      for (let round = 1; round <= rounds / 2; round++) {
        await harmUnderLoad(async () => {
          await killPostgres(dataDir)
          await waitUntilRefused()
        })
      }
      expect(load.refused).toBeGreaterThan(0)
      await expectSettled()
    },
    testMs,
  )

  test(
    'nothing acknowledged is lost when the postmaster alone, or the writer’s backend, is killed',
    async () => {
      const postmaster = (await postmasterPid(dataDir)) ?? 0
      await harmUnderLoad(async () => {
        process.kill(postmaster, 'SIGKILL')
        await waitUntilRefused()
      })
      expect(await postmasterPid(dataDir)).not.toBe(postmaster)
      await harmUnderLoad(async () => {
        process.kill(await writersBackend(), 'SIGKILL')
        await waitUntilRefused()
      })
      await expectSettled()
    },
    testMs,
  )

  test(
    'nothing acknowledged is lost when the database is restarted, and the server needs no restart',
    async () => {
      for (const mode of ['fast', 'immediate'] as const) await harmUnderLoad(() => restartPostgres(dataDir, mode))
      await expectSettled()
    },
    testMs,
  )
})

test('while the database is away the server is alive, not ready, and refuses with a time to come again', async () => {
  const pids = [(await postmasterPid(dataDir)) ?? 0]
  pids.push(...(await childrenOf(pids[0] ?? 0)))
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    await waitUntilRefused()
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
    await load.sendOne()
    expect([load.refused, load.contradictions]).toEqual([1, []])
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
  await waitUntilReady(server)
  await load.sendOne()
  expect(load.acknowledged.size).toBe(1)
  expect(await server.stop()).toBe(0)
})

async function waitUntilRefused(): Promise<void> {
  const deadline = performance.now() + 60_000
  while (performance.now() < deadline) {
    const answer = await fetch(`${server.url}/readyz`)
    await answer.text()
    if (answer.status === 503) return
    await sleep(5)
  }
  throw new Error('the server goes on as if nothing had happened')
}

/** Process id of the connection that commits: the writer's with the newest transaction on its mind. */
async function writersBackend(): Promise<number> {
  return withClient(await adminConfig(dataDir), async (client) => {
    const { rows } = await client.query<{ pid: number }>(
      `select pid
       from pg_catalog.pg_stat_activity
       where usename = 'app_writer_role'
       order by xact_start desc nulls last, pid
       limit 1`,
    )
    return rows[0]?.pid ?? 0
  })
}
