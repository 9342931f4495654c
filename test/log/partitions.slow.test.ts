import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { asSuperuser } from '../support/database-copy.ts'
import { createTestLog, type RunningLog, recordsOf, submit, type TestLog, until } from '../support/log.ts'

let home: TestLog
let administrator: Client
beforeEach(async () => {
  home = await createTestLog()
  administrator = new Client(home.database.admin)
  await administrator.connect()
})
afterEach(async () => {
  await administrator.end()
  await home.drop()
})

const partitionEntries = 65_536
const requestEntries = 4_096

/** Entries `from` to `to`, one request after the other. */
async function grow({ log }: RunningLog, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += requestEntries) {
    const { acceptedCount } = await submit(log, recordsOf(at, at + requestEntries))
    expect(acceptedCount).toBe(requestEntries)
  }
}

/** Ends whoever waits to make partitions; false while nobody does. */
async function endWaiting(): Promise<boolean> {
  return asSuperuser(home.database, async (admin) => {
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid)
       from pg_stat_activity
       where query like '%.ensure_partitions(%'
         and wait_event_type = 'Lock'`,
    )
    return (rowCount ?? 0) > 0
  })
}

test('while partitions cannot be made the next one is filled; when that fails the log stops at once, and goes on when it can', async () => {
  const running = await home.start()
  await grow(running, 0, partitionEntries)
  // What an administrator's VACUUM of the ledger holds.
  await administrator.query('begin')
  await administrator.query('lock table only security.audit_logs in share update exclusive mode')
  await grow(running, partitionEntries, partitionEntries + 2 * requestEntries)
  await until(endWaiting, () => 'nobody makes partitions')
  await until(
    () =>
      submit(running.log, recordsOf(0, 1)).then(
        () => false,
        () => true,
      ),
    () => 'the log goes on without partitions',
  )
  await administrator.query('rollback')
  await until(
    () => running.log.health.isReady,
    () => `the log is not back: ${running.log.health.problem}`,
  )
  await grow(running, partitionEntries + 2 * requestEntries, 2 * partitionEntries + requestEntries)
  await running.stop()
  const size = 2 * partitionEntries + requestEntries
  expect(await home.check()).toMatchObject({ size, publishedSize: size })
}, 120_000)
