import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { batchTimestamp, type Clock, clockSkewMaxMicroseconds, hostClock, systemClock } from '../../src/log/clock.ts'
import { readClock } from '../../src/store/heads.ts'
import { openPool } from '../../src/store/session.ts'
import { asSuperuser } from '../support/database-copy.ts'
import { createTestLog, recordsOf, submit, type TestLog, until, untilIncident } from '../support/log.ts'

const second = 1_000_000
const day = 86_400 * second

describe('the timestamp of a batch', () => {
  test('is the time of the host, or that of the newest entry where it is later', () => {
    expect(batchTimestamp(1_000, 999, 998)).toBe(1_000)
    expect(batchTimestamp(1_000, 999, 1_001)).toBe(1_001)
  })

  test('is not given where the clocks are more than 10 s apart', () => {
    const database = 50 * second
    for (const skew of [clockSkewMaxMicroseconds, -clockSkewMaxMicroseconds]) {
      expect(batchTimestamp(database + skew, database, 0)).toBe(database + skew)
      expect(() => batchTimestamp(database + skew + Math.sign(skew), database, 0)).toThrow('clocks differ')
    }
  })

  test('is not given where the newest entry is more than 10 s ahead of the host', () => {
    const now = 50 * second
    expect(batchTimestamp(now, now, now + clockSkewMaxMicroseconds)).toBe(now + clockSkewMaxMicroseconds)
    expect(() => batchTimestamp(now, now, now + clockSkewMaxMicroseconds + 1)).toThrow('newest entry')
  })
})

describe('the clock of a host', () => {
  test.each([10_000, -10_000])('may be corrected by %d ms and no more', (by) => {
    const at = { wallMs: 1_700_000_000_000, steadyMs: 5_000 }
    const clock = hostClock(
      () => at.wallMs,
      () => at.steadyMs,
    )
    at.steadyMs += 86_400_000
    at.wallMs += 86_400_000 + by
    expect(clock()).toBe(at.wallMs * 1_000)
    at.wallMs += Math.sign(by)
    expect(clock).toThrow(`jumped by ${by + Math.sign(by)} ms`)
  })
})

describe('a host whose clock was set', () => {
  let home: TestLog
  let offset = 0
  const clock: Clock = () => systemClock() + offset
  beforeEach(async () => {
    offset = 0
    home = await createTestLog()
  })
  afterEach(() => home.drop())

  test('back by 5 s: entries keep the time of the newest, checkpoints go on', async () => {
    const { log, stop } = await home.start({ clock })
    const before = await submit(log, recordsOf(0, 5))
    offset = -5 * second
    const after = await submit(log, recordsOf(5, 10))
    expect(after.timestamp).toBe(before.timestamp)
    await stop()
    expect(await home.check()).toMatchObject({ size: 10, publishedSize: 10 })
  })

  test.each([
    { set: '11 s ahead', by: 11 * second },
    { set: 'a day ahead', by: day },
    { set: 'a day back', by: -day },
  ])('$set: entries are refused until it is right again, nothing gets its time', async ({ by }) => {
    const running = await home.start({ clock, resignIntervalMs: 20 })
    const { log, stop } = running
    await submit(log, recordsOf(0, 5))
    await log.waitForCheckpoint(5)
    offset = by
    await untilIncident(running, 'CLOCK_SKEW')
    await expect(submit(log, recordsOf(5, 10))).rejects.toThrow('takes no entries now')
    const published = log.published
    expect(Math.abs(published.timestampMs - Date.now())).toBeLessThan(60_000)
    offset = 0
    await until(
      () => log.health.isReady,
      () => String(log.health.problem),
    )
    await submit(log, recordsOf(5, 10))
    await stop()
    expect(await home.check()).toMatchObject({ size: 10, publishedSize: 10 })
  })

  test('ahead between two batches: the batch is answered "not now"', async () => {
    const running = await home.start({ clock, checkpointIntervalMs: 60_000 })
    offset = day
    await expect(submit(running.log, recordsOf(0, 5))).rejects.toThrow('cannot take entries now')
    await untilIncident(running, 'CLOCK_SKEW')
    offset = 0
    await until(
      () => running.log.health.isReady,
      () => String(running.log.health.problem),
    )
    await submit(running.log, recordsOf(0, 5))
    await running.stop()
    expect(await home.check()).toMatchObject({ size: 5 })
  })

  test.each([
    { jump: 'a day ahead', by: day },
    { jump: 'an hour back', by: -3_600 * second },
  ])('$jump, and the database with it, whose clock it is too: nothing gets its time', async ({ by }) => {
    const jump = await ownDatabaseClock(home)
    const hosts = hostClock(
      () => Date.now() + offset / 1_000,
      () => performance.now(),
    )
    const running = await home.start({ clock: hosts, resignIntervalMs: 20 })
    await submit(running.log, recordsOf(0, 5))
    offset = by
    await jump(by)
    expect(Math.abs((await databaseClock(home)) - Date.now() * 1_000 - by)).toBeLessThan(60 * second)
    await untilIncident(running, 'CLOCK_SKEW')
    await expect(submit(running.log, recordsOf(5, 10))).rejects.toThrow("the host's clock jumped")
    expect(Math.abs(running.log.published.timestampMs - Date.now())).toBeLessThan(60_000)
    offset = 0
    await jump(0)
    await until(
      () => running.log.health.isReady,
      () => String(running.log.health.problem),
    )
    await submit(running.log, recordsOf(5, 10))
    await running.stop()
    expect(await home.check()).toMatchObject({ size: 10, publishedSize: 10 })
  })

  test('ahead when the log starts: it does not start before the clock is right', async () => {
    offset = day
    const running = await home.begin({ clock })
    await untilIncident(running, 'CLOCK_SKEW')
    offset = 0
    await until(
      () => running.log.health.isReady,
      () => String(running.log.health.problem),
    )
    await running.stop()
    await home.check()
  })
})

/** Gives the database a clock that can be set apart, in microseconds. */
async function ownDatabaseClock({ database }: TestLog): Promise<(microseconds: number) => Promise<void>> {
  await asSuperuser(database, (admin) =>
    admin.query(`
      create schema clock;
      grant usage on schema clock to public;
      create table clock.shift as select 0::bigint as microseconds;
      grant select on clock.shift to public;
      alter function pg_catalog.clock_timestamp() rename to real_clock;
      create function pg_catalog.clock_timestamp() returns timestamptz language sql volatile
        as 'select pg_catalog.real_clock() + microseconds * interval ''1 microsecond'' from clock.shift'`),
  )
  return async (microseconds) => {
    await asSuperuser(database, (admin) => admin.query('update clock.shift set microseconds = $1', [microseconds]))
  }
}

async function databaseClock({ database }: TestLog): Promise<number> {
  const pool = openPool(database.as('app_writer_role'), 1, 10_000)
  try {
    return await readClock(pool.query)
  } finally {
    await pool.close()
  }
}
