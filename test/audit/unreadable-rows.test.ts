import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { tamper, verify } from '../support/audit.ts'
import { copyOf } from '../support/database-copy.ts'
import { createTestLog, recordOf, recordsOf, submit, until } from '../support/log.ts'

/** What is too long for a row stands beside it; without that the row cannot be read. */
const withoutLongValues = `
  set allow_system_table_mods = on;
  do $$ declare beside regclass; begin
    select reltoastrelid into beside from pg_class where oid = 'security.audit_logs_p0000000000000001'::regclass;
    update pg_class set relkind = 'r' where oid = beside;
    execute format('delete from %s', beside);
    update pg_class set relkind = 't' where oid = beside;
  end $$`

test('rows that cannot be read are named, and keep nothing else from being checked', async () => {
  const home = await createTestLog()
  const running = await home.start()
  const long = { text: randomBytes(20_000).toString('base64') }
  await submit(running.log, [...recordsOf(0, 300), { ...recordOf(300), payload: long }, ...recordsOf(301, 400)])
  await submit(running.log, [{ ...recordOf(400), payload: long }, ...recordsOf(401, 500)])
  await running.log.waitForCheckpoint(500)
  await running.stop()
  const copy = await copyOf(home.database)
  try {
    const alter = `update security.audit_logs set client_ip = '203.0.113.9' where sequence_number in (7, 350, 499)`
    await tamper(copy, async (client) => {
      await client.query(`${alter}; ${withoutLongValues}`)
      // What was deleted there is read until it is swept away, and that is kept for whoever looks at the moment.
      const isRead = (): Promise<boolean> =>
        client.query('select payload::text from security.audit_logs where sequence_number in (301, 401)').then(
          () => true,
          () => false,
        )
      await until(
        async () => {
          await client.query('vacuum security.audit_logs_p0000000000000001')
          return !(await isRead())
        },
        () => 'the payloads are still there',
      )
    })
    const report = await verify(copy, home.keys)
    expect(report.findings.map(({ violationType, sequenceNumber }) => [violationType, sequenceNumber])).toEqual([
      ['LEAF_MISMATCH', 7],
      ['PAYLOAD_CORRUPT', 301],
      ['LEAF_MISMATCH', 350],
      ['PAYLOAD_CORRUPT', 401],
      ['LEAF_MISMATCH', 499],
    ])
    expect(report.findings[1]?.detail).toContain('cannot be read: ')
    expect(report.totalLogsScanned).toBe(500)
  } finally {
    await copy.drop()
    await home.drop()
  }
})

test.each([
  [
    'payload',
    `payload = jsonb_build_object('text', repeat('x', 100000000))`,
    { violationType: 'PAYLOAD_CORRUPT', fields: 'payload' },
  ],
  ['text', `source_position = repeat('x', 100000000)`, { violationType: 'LEAF_MISMATCH' }],
])('a %s that is longer than memory is not read', async (_, change, want) => {
  const home = await createTestLog()
  const running = await home.start()
  await submit(running.log, recordsOf(0, 20))
  await running.log.waitForCheckpoint(20)
  await running.stop()
  const copy = await copyOf(home.database)
  try {
    await tamper(copy, `update security.audit_logs set ${change} where sequence_number = 7`)
    const before = process.memoryUsage().rss
    const report = await verify(copy, home.keys)
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000)
    expect(report.findings).toMatchObject([{ ...want, sequenceNumber: 7 }])
  } finally {
    await copy.drop()
    await home.drop()
  }
})
