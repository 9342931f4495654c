import { afterEach, beforeEach, expect, test } from 'vitest'
import { LogIncident } from '../../src/log/incident.ts'
import type { Turn } from '../../src/log/log-options.ts'
import { publicProblem } from '../../src/log/problem-kind.ts'
import type { SignerCell } from '../../src/log/signer-cell.ts'
import { openTableCell } from '../../src/log/table-cell.ts'
import { asSuperuser } from '../support/database-copy.ts'
import {
  createTestLog,
  origin,
  type RunningLog,
  recordsOf,
  submit,
  type TestLog,
  type TestLogOptions,
  until,
  untilIncident,
} from '../support/log.ts'
import { createCellDatabase, dropDatabase } from '../support/servers.ts'

let home: TestLog
let cellDatabase: Awaited<ReturnType<typeof createCellDatabase>>
let cells: ReturnType<typeof openTableCell>[]
beforeEach(async () => {
  home = await createTestLog()
  cellDatabase = await createCellDatabase()
  cells = []
  const cell = openShared()
  await cell.prepare()
  await cell.read()
  const last = await home.cell.read()
  if (last !== undefined) await cell.write(last)
})
afterEach(async () => {
  await home.drop()
  await Promise.all(cells.map((cell) => cell.close()))
  await dropDatabase(cellDatabase)
})

function openShared(): ReturnType<typeof openTableCell> {
  const cell = openTableCell(cellDatabase, origin)
  cells.push(cell)
  return cell
}

function shared(options: TestLogOptions = {}): TestLogOptions & { readonly cell: SignerCell } {
  return { cell: openShared(), standsBy: true, resignIntervalMs: 3_600_000, ...options }
}

async function startStandby(options: TestLogOptions = {}): Promise<RunningLog> {
  const standby = await home.begin(shared(options))
  await until(
    () => standby.log.health.code === 'NOT_LEADER',
    () => String(standby.log.health.problem),
  )
  return standby
}

test('a log that stands by publishes what the leader signs, refuses submissions, and takes over', async () => {
  const leader = await home.start(shared())
  const standby = await startStandby()
  expect(standby.log.health).toMatchObject({ isReady: false, isLeader: false, incident: undefined })
  const waiting = standby.log.waitForCheckpoint(300)
  await submit(leader.log, recordsOf(0, 300))
  expect(await waiting).toMatchObject({ treeSize: 300 })
  expect(standby.log.health).toMatchObject({ publishedSize: 300, integratedSize: 300 })
  await expect(submit(standby.log, recordsOf(300, 301))).rejects.toMatchObject({ name: 'NotLeader' })
  await leader.stop()
  await until(
    () => standby.log.health.isReady,
    () => String(standby.log.health.problem),
  )
  await submit(standby.log, recordsOf(299, 310))
  await standby.stop()
  expect(standby.incidents).toEqual([])
  expect(await home.check()).toMatchObject({ size: 310, publishedSize: 310 })
})

test('who begins to stand by, takes over, or goes on after a stop, tells so once, with size and time', async () => {
  const told: Turn[][] = [[], []]
  const tell = (n: number): TestLogOptions => ({ onTurn: (turn) => told[n]?.push(turn), timing: { lockWaitMs: 200 } })
  const leader = await home.start(shared(tell(0)))
  await submit(leader.log, recordsOf(0, 10))
  await cutLock()
  await until(
    () => leader.incidents.length > 0 && leader.log.health.isReady,
    () => String(leader.log.health.problem),
  )
  const standby = await startStandby(tell(1))
  await standby.log.waitForCheckpoint(10)
  await leader.stop()
  await until(
    () => standby.log.health.isReady,
    () => String(standby.log.health.problem),
  )
  await standby.stop()
  const ms = expect.any(Number)
  expect(told[0]).toEqual([
    { kind: 'leads', size: expect.any(Number), stoodByMs: undefined },
    { kind: 'works-again', size: 10, stoppedForMs: ms },
  ])
  expect(told[1]).toEqual([
    { kind: 'stands-by', size: expect.any(Number) },
    { kind: 'leads', size: 10, stoodByMs: ms },
  ])
})

test('a leader that lost its lock while it was away is a standby of the one that took it', async () => {
  const first = await home.start(shared({ timing: { lockWaitMs: 200 } }))
  const second = await startStandby()
  await submit(first.log, recordsOf(0, 10))
  for (let tries = 0; !second.log.health.isReady && tries < 20; tries++) {
    await cutLock()
    await until(
      () => [first, second].some(({ log }) => log.health.isReady),
      () => String(second.log.health.problem),
    )
  }
  await submit(second.log, recordsOf(10, 20))
  await until(
    () => first.log.health.code === 'NOT_LEADER' && first.log.published.treeSize === 20,
    () => `${first.log.health.problem}, ${first.log.published.treeSize} published`,
  )
  expect(first.log.published.note).toBe(second.log.published.note)
  await until(
    () => first.incidents.some((error) => error instanceof LogIncident && error.code === 'LOCKED'),
    () => `the lock is another's, and the incidents are ${first.incidents.map(String).join(', ')}`,
  )
  await Promise.all([first.stop(), second.stop()])
  expect(await home.check()).toMatchObject({ size: 20, publishedSize: 20 })
})

test.each([
  { which: 'the only server', optionsOf: () => ({}) },
  { which: 'one of several servers', optionsOf: shared },
])('a lock of $which that is lost and free is an outage of the database, and no incident', async ({ optionsOf }) => {
  const { log, incidents, stop } = await home.start({ ...optionsOf(), timing: { lockWaitMs: 200 } })
  await submit(log, recordsOf(0, 3))
  await cutLock()
  await until(
    () => incidents.length > 0 && log.health.isReady,
    () => `${incidents.length} incidents`,
  )
  expect(incidents.map((error) => publicProblem(error).code)).toEqual(['DATABASE'])
  await submit(log, recordsOf(3, 6))
  await stop()
  expect(incidents).toHaveLength(1)
  expect(await home.check()).toMatchObject({ size: 6, publishedSize: 6 })
})

test('a server that cannot lead for a reason of its own hands over', async () => {
  const broken: TestLogOptions = {
    openCommitter: async () => {
      throw new Error('injected: no room for the connection')
    },
  }
  const first = await home.begin(shared(broken))
  await until(
    () => first.incidents.length > 0,
    () => 'no failure',
  )
  const second = await home.start(shared())
  await submit(second.log, recordsOf(0, 10))
  await Promise.all([first.stop(), second.stop()])
  expect(await home.check()).toMatchObject({ size: 10, publishedSize: 10 })
})

test.each([
  { what: 'without a signature of the log', note: `replace(note, '— test', '— best')`, root: 'root_hash' },
  { what: 'with the note of an earlier tree head', note: 'note', root: '(select root_hash from newest)' },
])('a checkpoint $what, by a stolen login, is not published by a standby', async ({ note, root }) => {
  const leader = await home.start(shared())
  const standby = await startStandby()
  await submit(leader.log, recordsOf(0, 10))
  await standby.log.waitForCheckpoint(10)
  expect(standby.log.health.readProblem).toBeUndefined()
  const last = standby.log.published.number
  await asSuperuser(home.database, (admin) =>
    admin.query(
      `with newest as (select * from security.tree_heads order by tree_size desc limit 1)
       insert into security.checkpoints (number, tree_size, root_hash, timestamp_ms, note, sth_signature)
       select $1 + 1, (select tree_size from newest), ${root}, timestamp_ms + 60000, ${note}, sth_signature
       from security.checkpoints
       where number = $1`,
      [last],
    ),
  )
  await untilIncident(standby, 'FORKED')
  expect(standby.log.published).toMatchObject({ number: last, treeSize: 10 })
  expect(standby.log.health.readProblem).toContain('is not one that this log signed')
  await Promise.all([leader.stop(), standby.stop()])
})

function cutLock(): Promise<unknown> {
  return asSuperuser(home.database, (admin) =>
    admin.query(
      `select pg_terminate_backend(pid, 5000)
       from pg_locks
       where relation = 'security.writer_lock'::regclass
         and database = (select oid from pg_database where datname = current_database())`,
    ),
  )
}
