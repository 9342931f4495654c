import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openFileCell } from '../../src/log/signer-cell.ts'
import { checkLog } from '../support/check-log.ts'
import { asSuperuser, copyDatabase, dropDatabase, swapDatabases } from '../support/database-copy.ts'
import {
  checkOptions,
  createTestLog,
  type RunningLog,
  recordsOf,
  submissionOf,
  submit,
  type TestLog,
  until,
  untilIncident,
} from '../support/log.ts'
import { readLogState, runSequencer } from '../support/sequencer.ts'

let home: TestLog
let copy: string | undefined
beforeEach(async () => {
  home = await createTestLog()
})
afterEach(async () => {
  await home.drop()
  if (copy !== undefined) await dropDatabase(copy)
  copy = undefined
})

async function appendAndStop(from: number, to: number, options = {}): Promise<void> {
  const running = await home.start(options)
  await submit(running.log, recordsOf(from, to))
  await running.stop()
}

/** What a log that must not touch its database would change. */
function contentOfDatabase(): Promise<unknown> {
  return asSuperuser(home.database, async (client) => {
    const { rows } = await client.query(
      `select (select count(*) from security.audit_logs) as entries,
         (select count(*) from security.tree_heads) as heads,
         (select count(*) from security.checkpoints) as checkpoints,
         (select count(*) from security.entry_ids) as ids`,
    )
    return rows[0]
  })
}

async function expectRefusing({ log }: RunningLog, code: string): Promise<void> {
  const before = await contentOfDatabase()
  const remembered = await home.cell.read()
  await expect(submit(log, recordsOf(900, 901))).rejects.toThrow('takes no entries now')
  // Long enough for several tries to open it again.
  await new Promise((resolve) => setTimeout(resolve, 300))
  await expect(submit(log, recordsOf(900, 901))).rejects.toThrow('takes no entries now')
  await expect(log.waitForCheckpoint(1_000)).rejects.toThrow()
  expect(log.health).toMatchObject({ isReady: false, incident: code })
  expect(await contentOfDatabase()).toEqual(before)
  expect(await home.cell.read()).toEqual(remembered)
}

test('an older database under a stopped log: nothing is sequenced, nothing signed', async () => {
  await appendAndStop(0, 300)
  copy = await copyDatabase(home.database)
  await appendAndStop(300, 320)
  await swapDatabases(home.database, copy)
  const running = await home.begin()
  await untilIncident(running, 'ROLLBACK')
  await expectRefusing(running, 'ROLLBACK')
})

test('an older database under a running log: nothing is sequenced, nothing signed; the right one is taken again', async () => {
  await appendAndStop(0, 300)
  copy = await copyDatabase(home.database)
  const running = await home.start()
  await submit(running.log, recordsOf(300, 320))
  await running.log.waitForCheckpoint(320)
  await swapDatabases(home.database, copy)
  const underway = submit(running.log, recordsOf(320, 330)).catch((error: unknown) => error)
  await untilIncident(running, 'ROLLBACK')
  expect(await underway).toBeInstanceOf(Error)
  await expectRefusing(running, 'ROLLBACK')
  await swapDatabases(home.database, copy)
  await until(
    () => running.log.health.isReady,
    () => String(running.log.health.problem),
  )
  await submit(running.log, recordsOf(320, 330))
  await running.stop()
  expect(await home.check()).toMatchObject({ size: 330, publishedSize: 330 })
})

test('a database that lacks only checkpoints that were signed is a rollback, but for the newest', async () => {
  const running = await home.start({ resignIntervalMs: 1 })
  await until(
    () => running.log.published.number >= 3,
    () => 'idle checkpoints',
  )
  await running.stop()
  copy = await copyDatabase(home.database)
  const next = await home.start({ resignIntervalMs: 1 })
  await until(
    () => next.log.published.number >= 8,
    () => 'idle checkpoints',
  )
  await next.stop()
  await swapDatabases(home.database, copy)
  await untilIncident(await home.begin(), 'ROLLBACK')
})

test.each([
  { size: 'of the same size', entries: 20 },
  { size: 'that is longer', entries: 50 },
])('a database with other entries $size: FORKED, nothing is sequenced, nothing signed', async ({ entries }) => {
  await appendAndStop(0, 300)
  copy = await copyDatabase(home.database)
  const forkedState = join(home.folder, 'forked-state.json')
  await copyFile(join(home.folder, 'signer-state.json'), forkedState)
  await appendAndStop(300, 320)
  await swapDatabases(home.database, copy)
  await appendAndStop(500, 500 + entries, { cell: openFileCell(forkedState) })
  const running = await home.begin()
  await untilIncident(running, 'FORKED')
  await expectRefusing(running, 'FORKED')
  // Both are good logs; only together they are a lie.
  await home.check()
})

test('a database that changes under a running log to one of the same size is found at the next look', async () => {
  await appendAndStop(0, 300)
  copy = await copyDatabase(home.database)
  const forkedState = join(home.folder, 'forked-state.json')
  await copyFile(join(home.folder, 'signer-state.json'), forkedState)
  await appendAndStop(300, 320)
  await swapDatabases(home.database, copy)
  await appendAndStop(500, 520, { cell: openFileCell(forkedState) })
  await swapDatabases(home.database, copy)
  const running = await home.start()
  await swapDatabases(home.database, copy)
  await untilIncident(running, 'FORKED')
})

test('a cell of another log, or none, is not signed from', async () => {
  const other = await createTestLog()
  try {
    const running = await home.begin({ cell: other.cell })
    await untilIncident(running, 'FORKED')
    await running.stop()
  } finally {
    await other.drop()
  }
  const empty = openFileCell(join(home.folder, 'nothing.json'))
  await expect(home.begin({ cell: empty })).rejects.toMatchObject({ code: 'ROLLBACK' })
})

test('a cell that is older than the database is not signed from', async () => {
  const old = join(home.folder, 'old-state.json')
  await appendAndStop(0, 10)
  await copyFile(join(home.folder, 'signer-state.json'), old)
  await appendAndStop(10, 20)
  await untilIncident(await home.begin({ cell: openFileCell(old) }), 'ROLLBACK')
})

test('a writer that remembers more than the database is stopped by the foreign key', async () => {
  await appendAndStop(0, 300)
  copy = await copyDatabase(home.database)
  await appendAndStop(300, 320)
  const state = await readLogState(home.database.as('auditor_reader_role'))
  await swapDatabases(home.database, copy)
  const sequencer = await runSequencer(home, state)
  const submission = submissionOf({ actorId: 'a', action: 'b', resource: 'c', payload: {} })
  await expect(sequencer.pool.submit([submission])).rejects.toThrow('not known whether')
  await expect(sequencer.running).rejects.toMatchObject({ cause: { code: '23503' } })
  await sequencer.stop()
  expect(await checkLog(checkOptions(home.database.as('auditor_reader_role'), home.keys))).toMatchObject({ size: 300 })
})
