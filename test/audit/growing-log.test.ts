import { expect, test } from 'vitest'
import { openReadSession, type ReadSession } from '../../src/store/copy-out.ts'
import { verify } from '../support/audit.ts'
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
