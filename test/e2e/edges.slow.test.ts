import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ledgerRow } from '../migrations/ledger.ts'
import { until } from '../support/log.ts'
import {
  adminConfig,
  endAll,
  postmasterPid,
  processesIn,
  spawnServer,
  startServer,
  waitUntilReady,
} from '../support/server-process.ts'
import { expectWholeLog, withClient } from './whole-log.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'dendrolog-edges-')), 'data')
})
afterEach(async () => {
  await endAll(dataDir)
  await rm(dirname(dataDir), { recursive: true, force: true, maxRetries: 5 })
})

async function exists(name: string): Promise<boolean> {
  return stat(join(dataDir, name)).then(
    () => true,
    () => false,
  )
}

test.each(['pg', 'keys/roles.json', 'tokens.json'])(
  'a server that is told to stop in its first start, when %s appears, leaves no PostgreSQL, and the next one a whole log',
  async (name) => {
    const starting = spawnServer(dataDir)
    while (!(await exists(name))) await sleep(2)
    starting.child.kill('SIGTERM')
    const { status, output } = await starting.ended
    expect({ status, output }).toEqual({ status: 0, output: expect.not.stringContaining('    at ') as string })
    expect(await postmasterPid(dataDir)).toBeUndefined()
    expect(await processesIn(join(dataDir, 'pg'))).toEqual([])
    const server = await startServer(dataDir)
    await waitUntilReady(server)
    expect(await expectWholeLog(await adminConfig(dataDir), server.url)).toBe(0)
    expect(await server.stop()).toBe(0)
  },
)

test('what stops the real server is in security_state.incidents when it was stopped, and in /readyz before', async () => {
  const first = await startServer(dataDir)
  await waitUntilReady(first)
  await withClient(await adminConfig(dataDir), (client) => client.query(ledgerRow(1)))
  expect(await first.stop()).toBe(0)
  const server = await startServer(dataDir)
  const answer = await fetch(`${server.url}/readyz`)
  expect([answer.status, await answer.json()]).toMatchObject([503, { incident: 'UNSEALED_ROWS' }])
  const admin = await adminConfig(dataDir)
  const stored = (): Promise<unknown[]> =>
    withClient(admin, async (client) => (await client.query('select code from security_state.incidents')).rows)
  await until(
    async () => (await stored()).length > 0,
    () => server.output(),
  )
  expect(await stored()).toEqual([{ code: 'UNSEALED_ROWS' }])
  expect(await server.stop()).toBe(0)
})
