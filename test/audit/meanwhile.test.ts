import { expect, test } from 'vitest'
import { openReadSession, type ReadSession } from '../../src/store/copy-out.ts'
import { DatabaseOutage } from '../../src/store/outage.ts'
import { tamper, verify } from '../support/audit.ts'
import { createTestLog, recordsOf, submit } from '../support/log.ts'

/** `first` is run before the first statement that `before` fits. */
function doingFirst(session: ReadSession, before: RegExp, first: () => Promise<void>): ReadSession {
  let isDone = false
  const query: ReadSession['query'] = async (text, values) => {
    if (!isDone && before.test(text)) {
      isDone = true
      await first()
    }
    return session.query(text, values)
  }
  return { ...session, query }
}

test.each([
  ['checkpoints are read', /from security\.checkpoints\s+where number/],
  ['the numbers of checkpoints are looked at', /lag\(/],
  ['heads are read', /from security\.tree_heads\s+where/],
])('a log that grows before %s is not one that was cut', async (_, statement) => {
  const home = await createTestLog()
  const running = await home.start()
  const session = await openReadSession(home.database.as('auditor_reader_role'))
  try {
    await submit(running.log, recordsOf(0, 300))
    await running.log.waitForCheckpoint(300)
    let grown = 0
    const growing = doingFirst(session, statement, async () => {
      await submit(running.log, recordsOf(300, 310))
      await running.log.waitForCheckpoint(310)
      grown++
    })
    const report = await verify(home.database, home.keys, [], { session: growing })
    expect(grown).toBe(1)
    expect(report).toMatchObject({ isSecure: true, findings: [], treeSize: 300 })
    expect(await verify(home.database, home.keys)).toMatchObject({ isSecure: true, treeSize: 310 })
  } finally {
    await session.close()
    await running.stop()
    await home.drop()
  }
})

test('what was found before the database went away is told, and that the rest was not checked', async () => {
  const home = await createTestLog()
  const running = await home.start()
  await submit(running.log, recordsOf(0, 300))
  await running.log.waitForCheckpoint(300)
  await running.stop()
  const session = await openReadSession(home.database.as('auditor_reader_role'))
  const away = (): Promise<void> => Promise.reject(new DatabaseOutage('the database is gone'))
  const lost = doingFirst(session, /lag\(/, away)
  try {
    await expect(verify(home.database, home.keys, [], { session: lost })).rejects.toThrow('the database is gone')
    await tamper(home.database, `update security.audit_logs set payload = '{}' where sequence_number = 7`)
    const report = await verify(home.database, home.keys, [], { session: doingFirst(session, /lag\(/, away) })
    expect(report).toMatchObject({ isSecure: false, isComplete: false, violationType: 'PAYLOAD_CORRUPT' })
    expect(report.notChecked).toEqual([expect.stringContaining('the database is gone')])
  } finally {
    await session.close()
    await home.drop()
  }
})
