import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Unavailable } from '../../src/log/incident.ts'
import type { SignerCell } from '../../src/log/signer-cell.ts'
import type { Session } from '../../src/store/session.ts'
import { cutConnections } from '../support/database-copy.ts'
import {
  createTestLog,
  idOf,
  type RunningLog,
  recordOf,
  recordsOf,
  submissionOf,
  submit,
  type TestLog,
  until,
} from '../support/log.ts'

let home: TestLog
beforeEach(async () => {
  home = await createTestLog()
})
afterEach(() => home.drop())

/** Commits wait until the gate opens. */
function gated(): { wrapSession: (session: Session) => Session; open: () => void } {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  const wrapSession = (session: Session): Session => ({ ...session, commit: () => opened.then(session.commit) })
  return { wrapSession, open }
}

async function untilReady({ log }: RunningLog): Promise<void> {
  await until(
    () => log.health.isReady,
    () => String(log.health.problem),
  )
}

describe('a running log', () => {
  test('gives each request consecutive numbers, in the order in which requests came', async () => {
    const { log, stop } = await home.start()
    const sizes = [3, 1, 7, 2, 300, 1]
    const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0))
    const placements = await Promise.all(
      sizes.map((size, i) => submit(log, recordsOf(starts[i] as number, (starts[i] as number) + size))),
    )
    expect(placements.map(({ firstSequenceNumber }) => firstSequenceNumber - 1)).toEqual(starts)
    await stop()
    expect((await home.check()).ids).toEqual(recordsOf(0, 314).map(({ id }) => id))
  })

  test('commits a request that is larger than a batch at once', async () => {
    const { log, stop } = await home.start({ batchLimits: { entriesMax: 10, bytesMax: 1_000 } })
    await submit(log, recordsOf(0, 700))
    await stop()
    expect(await home.check()).toMatchObject({ size: 700, heads: 2 })
  })

  test('publishes what is integrated, and signs an idle head again with later times', async () => {
    const { log, stop } = await home.start({ resignIntervalMs: 1, checkpointIntervalMs: 5 })
    await submit(log, recordsOf(0, 3))
    const { number } = await log.waitForCheckpoint(3)
    await until(
      () => log.published.number >= number + 5,
      () => `checkpoint ${log.published.number}`,
    )
    await stop()
    const { checkpoints, heads } = await home.check()
    expect(checkpoints).toBeGreaterThanOrEqual(number + 6)
    expect(heads).toBe(2)
  })

  test('is not ready while the database keeps a commit waiting, and is again when that is done', async () => {
    const { wrapSession, open } = gated()
    const running = await home.start({ wrapSession, timing: { commitSlowMs: 50 } })
    const submitted = submit(running.log, recordsOf(0, 3))
    await until(
      () => !running.log.health.isReady,
      () => 'a log that says it is ready',
    )
    expect(running.log.health).toMatchObject({ code: 'DATABASE', incident: undefined })
    expect(running.log.health.problem).toContain('kept a commit waiting')
    open()
    await submitted
    await untilReady(running)
    expect(running.incidents).toEqual([])
    await running.stop()
  })

  test('is not ready after a disk was full, until it commits again, and takes entries meanwhile', async () => {
    let isFull = true
    const commit = (session: Session): Promise<void> =>
      isFull ? Promise.reject(Object.assign(new Error('could not extend file'), { code: '53100' })) : session.commit()
    const running = await home.start({ wrapSession: (session) => ({ ...session, commit: () => commit(session) }) })
    await expect(submit(running.log, recordsOf(0, 3))).rejects.toThrow(Unavailable)
    await until(
      () => running.log.health.code === 'DATABASE',
      () => `health ${JSON.stringify(running.log.health)}`,
    )
    expect(running.log.health.problem).toContain('a disk was full')
    isFull = false
    await submit(running.log, recordsOf(0, 3))
    await untilReady(running)
    await running.stop()
  })

  test('does not sign an idle head before its time', async () => {
    const { log, stop } = await home.start({ checkpointIntervalMs: 1 })
    await submit(log, recordsOf(0, 3))
    const { number } = await log.waitForCheckpoint(3)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(log.published.number).toBe(number)
    await stop()
  })

  test('takes entries again after all its connections were cut', async () => {
    const running = await home.start()
    await submit(running.log, recordsOf(0, 10))
    await cutConnections(home.database)
    await until(
      () => running.incidents.length > 0,
      () => 'nobody noticed',
    )
    await untilReady(running)
    await submit(running.log, recordsOf(5, 20))
    await running.stop()
    expect(await home.check()).toMatchObject({ size: 20, publishedSize: 20 })
  })

  test('refuses what has no room, and takes it when there is some', async () => {
    const { wrapSession, open } = gated()
    const { log, stop } = await home.start({ wrapSession, poolLimits: { entriesMax: 20, bytesMax: 1_000_000 } })
    const underway = submit(log, recordsOf(0, 5))
    await until(
      () => log.health.pendingEntries === 0,
      () => 'not taken',
    )
    const pending = submit(log, recordsOf(5, 20))
    await expect(submit(log, recordsOf(20, 30))).rejects.toThrow(Unavailable)
    expect(log.health.pendingEntries).toBe(15)
    open()
    await Promise.all([underway, pending])
    await submit(log, recordsOf(20, 30))
    await stop()
    expect(await home.check()).toMatchObject({ size: 30, publishedSize: 30 })
  })

  test('releases the submissions of each request once they are read no more', async () => {
    const { log, stop } = await home.start()
    const released: number[] = []
    for (let n = 0; n < 5; n++) {
      await log.submit([submissionOf(recordOf(n))], () => released.push(n))
    }
    // The newest batch is still what the next ones are judged by.
    expect(released).toEqual([0, 1, 2, 3])
    await stop()
  })
})

describe('a log that is stopped', () => {
  test('answers everything that it accepted, and publishes it', async () => {
    const { wrapSession, open } = gated()
    const { log, stop } = await home.start({
      ...{ wrapSession, checkpointIntervalMs: 60_000 },
      batchLimits: { entriesMax: 50, bytesMax: 1_000_000 },
    })
    const requests = Array.from({ length: 10 }, (_, n) => submit(log, recordsOf(30 * n, 30 * (n + 1))))
    const published = log.waitForCheckpoint(300)
    const stopped = stop()
    await expect(submit(log, [recordOf(900)])).rejects.toThrow('shutting down')
    open()
    await Promise.all(requests)
    expect(await published).toMatchObject({ treeSize: 300 })
    await stopped
    await expect(submit(log, [recordOf(900)])).rejects.toThrow(Unavailable)
    await expect(log.waitForCheckpoint(301)).rejects.toThrow(Unavailable)
    expect(await home.check()).toMatchObject({ size: 300, publishedSize: 300 })
  })

  test('while its database is away answers everything, with "not now"', async () => {
    let isAway = false
    const running = await home.start({
      openCommitter: async () => {
        if (isAway) throw new Error('injected: no connection')
        const session = await home.optionsOf().openCommitter()
        return { ...session, commit: () => Promise.reject(new Error('injected: connection lost')) }
      },
    })
    isAway = true
    const answers = Promise.allSettled(Array.from({ length: 20 }, (_, n) => submit(running.log, [recordOf(n)])))
    const waiting = Promise.allSettled([running.log.waitForCheckpoint(1)])
    const statuses = (await answers).map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set(['rejected']))
    expect((await waiting)[0].status).toBe('rejected')
    await running.stop()
    expect(await home.check()).toMatchObject({ size: 0 })
  })
})

describe('a head that cannot be signed', () => {
  test('stops sequencing after a while, and sequencing goes on when it is signed', async () => {
    let isBroken = false
    let isTried = false
    const cell: SignerCell = {
      read: home.cell.read,
      write: async (checkpoint) => {
        isTried = true
        if (isBroken) await new Promise((resolve) => setTimeout(resolve, 400))
        await home.cell.write(checkpoint)
      },
    }
    const running = await home.start({ cell, timing: { unsignedMaxMs: 100 } })
    isBroken = true
    await submit(running.log, recordsOf(0, 5))
    await until(
      () => isTried,
      () => 'not tried',
    )
    const later = async (): Promise<unknown> => {
      for (let n = 5; ; n++) {
        const error = await submit(running.log, [recordOf(n)]).catch((cause: unknown) => cause)
        if (error instanceof Error) return error
      }
    }
    expect(await later()).toBeInstanceOf(Unavailable)
    isBroken = false
    await untilReady(running)
    await submit(running.log, [recordOf(800)])
    await running.stop()
    const { ids, size, publishedSize } = await home.check()
    expect(publishedSize).toBe(size)
    expect(ids.at(-1)).toBe(idOf(800))
  })
})
