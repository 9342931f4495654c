import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openFileCell, type SignerCell } from '../../src/log/signer-cell.ts'
import { tryLogLock } from '../../src/store/log-lock.ts'
import { migrate } from '../../src/store/migrate.ts'
import { asSuperuser } from '../support/database-copy.ts'
import {
  createTestLog,
  recordOf,
  recordsOf,
  schema,
  submissionOf,
  submit,
  type TestLog,
  until,
} from '../support/log.ts'
import { readLogState, runSequencer } from '../support/sequencer.ts'

const migrations = join(import.meta.dirname, '..', '..', 'migrations')

let home: TestLog
let otherCell: SignerCell
beforeEach(async () => {
  home = await createTestLog()
  const copy = join(home.folder, 'other-state.json')
  await copyFile(join(home.folder, 'signer-state.json'), copy)
  otherCell = openFileCell(copy)
})
afterEach(() => home.drop())

test('a second server on the same log refuses to start, and starts when the first has ended', async () => {
  const first = await home.start()
  await submit(first.log, recordsOf(0, 3))
  const second = home.begin({ cell: otherCell, timing: { lockWaitMs: 300 } })
  await expect(second).rejects.toMatchObject({ name: 'LogIncident', code: 'LOCKED' })
  await first.stop()
  await (await home.start()).stop()
  expect(await home.check()).toMatchObject({ size: 3, publishedSize: 3 })
})

test('a second server waits a moment for the first to end', async () => {
  const first = await home.start()
  const second = home.start({ timing: { lockWaitMs: 10_000 } })
  await new Promise((resolve) => setTimeout(resolve, 100))
  await first.stop()
  await submit((await second).log, recordsOf(0, 3))
})

test('logs in other schemas of one database do not meet', async () => {
  await home.start()
  const options = { directory: migrations, schema: 'another', prefix: '', log: () => {} }
  await migrate(home.database.admin, options)
  const writer = home.database.as('app_writer_role')
  const other = await tryLogLock(writer, { evidence: 'another', state: 'another_state' })
  expect(other).toBeDefined()
  expect(await tryLogLock(writer, schema)).toBeUndefined()
  await other?.release()
})

test('a lock whose connection is cut is lost, and free', async () => {
  const writer = home.database.as('app_writer_role')
  const lock = await tryLogLock(writer, schema)
  await cutLock()
  await until(
    () => lock?.lost.aborted === true,
    () => 'the lock is not lost',
  )
  const next = await tryLogLock(writer, schema)
  expect(next).toBeDefined()
  await Promise.all([lock?.release(), next?.release()])
})

test('a lock that is held keeps no snapshot and no transaction number that vacuum would wait for', async () => {
  await home.start()
  const holders = await asSuperuser(home.database, async (admin) => {
    const { rows } = await admin.query(
      `select usename, mode, backend_xid, backend_xmin
       from pg_locks
       join pg_stat_activity using (pid)
       where relation = 'security.writer_lock'::regclass
         and database = (select oid from pg_database where datname = current_database())`,
    )
    return rows as unknown[]
  })
  expect(holders).toEqual([
    { usename: 'app_writer_role', mode: 'ExclusiveLock', backend_xid: null, backend_xmin: null },
  ])
})

test('no login but the writer can keep a log from its lock', async () => {
  const auditor = new Client(home.database.as('auditor_reader_role'))
  auditor.on('error', () => {})
  await auditor.connect()
  try {
    const key = `pg_catalog.hashtextextended('dendrolog log security', 0)`
    await auditor.query(`select pg_advisory_lock(${key})`)
    await auditor.query('begin')
    await expect(auditor.query('lock table security.writer_lock in row share mode')).rejects.toThrow('denied')
    await (await home.start()).stop()
  } finally {
    await auditor.end()
  }
})

test('a process that answers nothing for some seconds keeps its lock', async () => {
  const lock = await tryLogLock(home.database.as('app_writer_role'), schema)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 6_500)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(lock?.lost.aborted).toBe(false)
  expect(await tryLogLock(home.database.as('app_writer_role'), schema)).toBeUndefined()
  await lock?.release()
})

test('a log that loses its lock to another stops, and stays stopped while the other has it', async () => {
  const { log, incidents } = await home.start()
  await cutLock()
  const writer = home.database.as('app_writer_role')
  await until(
    () => incidents.length > 0,
    () => 'nobody noticed',
  )
  let lock = await tryLogLock(writer, schema)
  // The log may have been quicker; then it loses it once more.
  for (; lock === undefined; lock = await tryLogLock(writer, schema)) await cutLock()
  await until(
    () => log.health.problem?.includes('one server at a time') === true,
    () => String(log.health.problem),
  )
  await expect(submit(log, recordsOf(0, 3))).rejects.toThrow('one server at a time')
  expect(log.health).toMatchObject({ isReady: false, incident: 'LOCKED' })
  await lock.release()
  await until(
    () => log.health.isReady,
    () => String(log.health.problem),
  )
})

test('without any lock, of sequencers on one head one goes on and the others are stopped by the tables', async () => {
  const state = await readLogState(home.database.as('auditor_reader_role'))
  const racers = await Promise.all(Array.from({ length: 4 }, () => runSequencer(home, state)))
  const answers = await Promise.allSettled(
    racers.map(({ pool }, n) => pool.submit(recordsOf(100 * n, 100 * n + 100).map((r) => submissionOf(r)))),
  )
  expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  await Promise.all(racers.map(({ stop }) => stop()))
  const winner = answers.findIndex(({ status }) => status === 'fulfilled')
  const signing = await home.start()
  await signing.stop()
  const { ids, publishedSize } = await home.check()
  expect(ids).toEqual(recordsOf(100 * winner, 100 * winner + 100).map(({ id }) => id))
  expect(publishedSize).toBe(100)
})

test('without any lock, a sequencer that falls behind by one commit never writes again', async () => {
  const state = await readLogState(home.database.as('auditor_reader_role'))
  const [slow, quick] = [await runSequencer(home, state), await runSequencer(home, state)]
  await quick.pool.submit([submissionOf(recordOf(1))])
  await quick.pool.submit([submissionOf(recordOf(2))])
  await expect(slow.pool.submit([submissionOf(recordOf(3))])).rejects.toThrow('not known whether')
  await expect(slow.running).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: '23505' } })
  await quick.pool.submit([submissionOf(recordOf(4))])
  await Promise.all([slow.stop(), quick.stop()])
  await (await home.start()).stop()
  expect(await home.check()).toMatchObject({ size: 3, publishedSize: 3 })
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
