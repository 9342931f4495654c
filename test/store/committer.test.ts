import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Committer } from '../../src/store/committer.ts'
import { asSuperuser, cutConnections } from '../support/database-copy.ts'
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
import { logged } from '../support/logged.ts'
import { readLogState, runSequencer } from '../support/sequencer.ts'

// The thread runs what `npm run build` made of it.
const built = pathToFileURL(join(import.meta.dirname, '..', '..', 'dist', 'src', 'store', 'committer.js')).href

let home: TestLog
beforeEach(async () => {
  home = await createTestLog()
})
afterEach(() => home.drop())

async function openCommitter(password?: string): Promise<Committer> {
  const { openCommitThread } = (await import(built)) as typeof import('../../src/store/committer.ts')
  const writer = home.database.as('app_writer_role')
  const config = password === undefined ? writer : { ...writer, password }
  return openCommitThread({ config, schema, idleTimeoutMs: 5_000 })
}

test('a thread commits batches; one that is no extension of the head fails with its SQLSTATE', async () => {
  const state = await readLogState(home.database.as('auditor_reader_role'))
  const writer = home.database.as('app_writer_role')
  const first = await runSequencer(home, state, writer, { committer: await openCommitter() })
  await first.pool.submit(recordsOf(0, 700).map((record) => submissionOf(record)))
  const late = await runSequencer(home, state, writer, { committer: await openCommitter() })
  const records = recordsOf(1_000, 1_100).map((record) => submissionOf(record))
  await expect(late.pool.submit(records)).rejects.toThrow('not known whether')
  await expect(late.running).rejects.toMatchObject({ cause: { message: expect.stringMatching(/^23505: /) } })
  await Promise.all([first.stop(), late.stop()])
  await (await home.start()).stop()
  expect(await home.check()).toMatchObject({ size: 700, publishedSize: 700 })
})

test('a thread whose connection was cut answers with the failure, and a closed one does not leave anybody waiting', async () => {
  const committer = await openCommitter()
  await committer.ping()
  await cutConnections(home.database)
  await expect(committer.ping()).rejects.toThrow()
  await committer.close()
  await expect(committer.ping()).rejects.toThrow('the committing thread has ended')
})

test('a login that is refused is told by the opening', async () => {
  await expect(openCommitter('wrong')).rejects.toThrow('could not connect')
})

test('a copy that fails by what a row says: the log is stopped and told the SQLSTATE, nobody what the row says', async () => {
  const secret = 'payload-of-somebody'
  await asSuperuser(home.database, async (admin) => {
    for (const guard of ['start', 'end', 'drop']) {
      await admin.query(`alter event trigger security_guard_${guard} disable`)
    }
    await admin.query(`create function public.quote() returns trigger language plpgsql
      as $$ begin raise exception 'cannot take %', new.payload using errcode = '22030', detail = new.payload; end $$`)
    await admin.query(`create trigger quote before insert on security.audit_logs
      for each row execute function public.quote()`)
  })
  const running = await home.begin({ openCommitter })
  await until(
    () => running.log.health.isReady,
    () => String(running.log.health.problem),
  )
  const record = { ...recordOf(0), payload: { secret } }
  const refusal = await submit(running.log, [record]).catch((error: unknown) => error)
  const texts = [refusal, ...running.incidents].map((error) => logged(error)).join('\n')
  expect(texts).toContain('"code":"22030"')
  expect(texts).not.toContain(secret)
  expect(JSON.stringify(running.log.health)).not.toContain(secret)
})

test('a copy that fails while megabytes of it are on their way ends the commit, not the process', async () => {
  const running = await home.start()
  await running.stop()
  const state = await readLogState(home.database.as('auditor_reader_role'))
  const sequencer = await runSequencer(home, state, undefined, { batchLimits: { entriesMax: 10_000, bytesMax: 1e9 } })
  const records = recordsOf(0, 4_000).map((record) => ({ ...record, payload: { a: 'x'.repeat(3_000) } }))
  const submissions = records.map((record) => submissionOf(record))
  // A row that the table refuses, early in the stream: its event id has a wrong length.
  const { bytes, rowStart } = submissions[10] as (typeof submissions)[number]
  bytes[rowStart] = 0x7f
  await expect(sequencer.pool.submit(submissions)).rejects.toThrow('not known whether')
  await sequencer.stop()
  await (await home.start()).stop()
  expect(await home.check()).toMatchObject({ size: 0 })
})
