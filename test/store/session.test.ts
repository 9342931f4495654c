import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DatabaseOutage, isOutage } from '../../src/store/outage.ts'
import { openPool } from '../../src/store/session.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeEach(async () => {
  database = await makeDatabase()
})
afterEach(() => database.drop())

const reason = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  )

test('where as many wait for a connection as may, the next is refused at once; those who wait are served', async () => {
  const holder = new Client(database.admin)
  await holder.connect()
  await holder.query('select pg_advisory_lock(1)')
  const pool = openPool(database.admin, 1, 10_000, { waitingMax: 2 })
  try {
    const running = pool.query('select pg_advisory_lock(1)')
    const waiting = [pool.query('select 1 as n'), pool.query('select 2 as n')]
    await expect(pool.query('select 3 as n')).rejects.toThrow(DatabaseOutage)
    await holder.query('select pg_advisory_unlock(1)')
    await running
    expect(await Promise.all(waiting)).toEqual([[{ n: 1 }], [{ n: 2 }]])
    expect(await pool.query('select 3 as n')).toEqual([{ n: 3 }])
  } finally {
    await pool.close()
    await holder.end()
  }
})

test('a database that is away is told from a question that is bad', async () => {
  const pool = openPool(database.admin, 1, 10_000)
  const nobody = openPool({ ...database.admin, password: 'wrong', user: 'app_writer_role' }, 1, 10_000)
  const nowhere = openPool({ host: '127.0.0.1', port: 1 }, 1, 10_000)
  try {
    expect(isOutage(await reason(nowhere.query('select 1')))).toBe(true)
    expect(isOutage(await reason(nobody.query('select 1')))).toBe(true)
    expect(isOutage(await reason(pool.query('select pg_terminate_backend(pg_backend_pid())')))).toBe(true)
    expect(isOutage(await reason(pool.query(`select 'x'::int`)))).toBe(false)
    expect(isOutage(await reason(pool.query('select nothing')))).toBe(false)
    expect(isOutage(new AggregateError([]))).toBe(true)
    expect(isOutage('text')).toBe(false)
  } finally {
    await Promise.all([pool.close(), nobody.close(), nowhere.close()])
  }
})

test('a statement that takes longer than the pool allows is an outage, and the pool goes on', async () => {
  const pool = openPool(database.admin, 1, 100)
  try {
    expect(isOutage(await reason(pool.query('select pg_sleep(30)')))).toBe(true)
    expect(await pool.query('select 1 as n')).toEqual([{ n: 1 }])
  } finally {
    await pool.close()
  }
})
