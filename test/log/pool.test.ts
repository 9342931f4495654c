import { describe, expect, test } from 'vitest'
import { Unavailable } from '../../src/log/incident.ts'
import { PendingPool, type Placement } from '../../src/log/pool.ts'
import type { Submission } from '../../src/log/submission.ts'
import { recordsOf, submissionOf } from '../support/log.ts'

const placement = {} as Placement
const unlimited = { entriesMax: 1_000_000, bytesMax: 1_000_000_000 }
const never = new AbortController().signal

function submissions(count: number): Submission[] {
  return recordsOf(0, count).map((record) => submissionOf(record))
}

describe('the pending pool', () => {
  test('hands over whole requests, first come first served, up to the limits', async () => {
    const pool = new PendingPool(unlimited)
    const sizes = [3, 4, 5, 1]
    const answers = Promise.all(sizes.map((size) => pool.submit(submissions(size))))
    expect(pool.entries).toBe(13)
    const taken = [
      pool.take({ ...unlimited, entriesMax: 7 }),
      pool.take({ ...unlimited, entriesMax: 2 }),
      pool.take(unlimited),
    ]
    expect(taken.map((groups) => groups.map(({ submissions }) => submissions.length))).toEqual([[3, 4], [5], [1]])
    expect(pool.entries).toBe(0)
    for (const group of taken.flat()) group.resolve(placement)
    expect(await answers).toEqual(sizes.map(() => placement))
  })

  test('bounds the bytes of what it hands over and of what it takes', async () => {
    const one = submissions(1)
    const bytes = one.reduce((sum, { rowEnd, chainStart }) => sum + rowEnd - chainStart, 0)
    const pool = new PendingPool({ entriesMax: 100, bytesMax: 3 * bytes })
    const answers = [pool.submit(submissions(1)), pool.submit(submissions(1)), pool.submit(submissions(1))]
    await expect(pool.submit(submissions(1))).rejects.toThrow(Unavailable)
    expect(pool.take({ entriesMax: 100, bytesMax: 2 * bytes })).toHaveLength(2)
    await Promise.race([pool.submit(submissions(1)), Promise.resolve()])
    expect(pool.entries).toBe(2)
    expect(answers).toHaveLength(3)
  })

  test('takes one request of any size when it is empty, and no other while that waits', async () => {
    const pool = new PendingPool({ entriesMax: 10, bytesMax: 1 })
    pool.submit(submissions(500)).catch(() => {})
    await expect(pool.submit(submissions(1))).rejects.toThrow('no room')
    expect(pool.take({ entriesMax: 1, bytesMax: 1 })).toHaveLength(1)
  })

  test('wakes the sequencer at the threshold, when it is closed, and when it is told to stop', async () => {
    const pool = new PendingPool(unlimited)
    let isAwake = false
    const waiting = pool
      .wait(() => 5, never)
      .then(() => {
        isAwake = true
      })
    pool.submit(submissions(4)).catch(() => {})
    await Promise.resolve()
    expect(isAwake).toBe(false)
    pool.submit(submissions(1)).catch(() => {})
    await waiting
    const stop = new AbortController()
    const stopped = pool.wait(() => 100, stop.signal)
    stop.abort()
    await stopped
    const closed = pool.wait(() => 100, never)
    pool.close()
    await closed
  })

  test('asks for the threshold again when it is told', async () => {
    const pool = new PendingPool(unlimited)
    let threshold = 100
    const waiting = pool.wait(() => threshold, never)
    pool.submit(submissions(1)).catch(() => {})
    threshold = 1
    pool.recheck()
    await waiting
  })

  test('takes nothing once it is closed, and keeps what it has until that is taken', async () => {
    const pool = new PendingPool(unlimited)
    pool.submit(submissions(1)).catch(() => {})
    pool.close()
    await expect(pool.submit(submissions(1))).rejects.toThrow('shutting down')
    expect(pool.isDrained).toBe(false)
    pool.take(unlimited)
    expect(pool.isDrained).toBe(true)
  })

  test('rejects all that is pending with one reason', async () => {
    const pool = new PendingPool(unlimited)
    const answers = Promise.allSettled([pool.submit(submissions(1)), pool.submit(submissions(2))])
    const reason = new Unavailable('stopped')
    pool.rejectAll(reason)
    expect(await answers).toEqual([1, 2].map(() => ({ status: 'rejected', reason })))
    expect(pool.entries).toBe(0)
  })

  test('a request without submissions is a bug of the caller, not one that waits forever', () => {
    expect(() => new PendingPool(unlimited).submit([])).toThrow('never be taken')
  })
})
