import { afterAll, beforeAll, expect, test } from 'vitest'
import { asSuperuser } from '../support/database-copy.ts'
import { createTestLog, recordsOf, submit, type TestLog } from '../support/log.ts'

// What nearly every test ends in would be worth nothing if it found nothing.

let home: TestLog
beforeAll(async () => {
  home = await createTestLog()
  const { log, stop } = await home.start()
  await submit(log, recordsOf(0, 10))
  await submit(log, recordsOf(10, 300))
  await stop()
  await asSuperuser(home.database, async (client) => {
    for (const guard of ['start', 'end', 'drop']) {
      await client.query(`alter event trigger security_guard_${guard} disable`)
    }
    for (const table of ['audit_logs', 'entry_ids', 'tree_heads', 'tiles', 'checkpoints']) {
      await client.query(`alter table security.${table} disable trigger all`)
    }
  })
})
afterAll(() => home.drop())

const row = (n: number, change: string): string =>
  `update security.audit_logs set ${change} where sequence_number = ${n}`
const flipped = (column: string): string => `${column} = set_byte(${column}, 0, get_byte(${column}, 0) # 1)`

test('what is there is right', async () => {
  expect(await home.check()).toMatchObject({ size: 300, publishedSize: 300, heads: 3 })
})

// In the reverse of the order in which they are looked at: each is found although those above it are there, too.
test.each([
  ['an STH signature', `update security.checkpoints set ${flipped('sth_signature')} where number = 1`, '0403'],
  [
    'the note of a checkpoint',
    `update security.checkpoints set note = note || 'x' where number = 1`,
    'test.example/log',
  ],
  ['hashes of a tile', `update security.tiles set ${flipped('hashes')}`, 'tile 0/0'],
  ['the seal of a head', `update security.tree_heads set ${flipped('seal')} where tree_size = 300`, 'head 300: seal'],
  ['the frontier of a head', `update security.tree_heads set ${flipped('frontier')} where tree_size = 300`, 'frontier'],
  ['the number of an id', 'update security.entry_ids set sequence_number = 301 where sequence_number = 300', 'id 300 '],
  ['a missing id', 'delete from security.entry_ids where sequence_number = 100', 'id 100 '],
  ['the newest row', 'delete from security.audit_logs where sequence_number = 300', 'id 100 '],
  ['a row less', 'delete from security.audit_logs where sequence_number = 290', 'row 290: got sequence number 291'],
  ['a time', row(280, "timestamp = timestamp - interval '1 hour'"), 'row 280: leaf hash'],
  ['an address', row(270, "client_ip = '192.0.2.1'"), 'row 270: leaf hash'],
  ['a stored leaf hash', row(260, flipped('leaf_hash')), 'row 260: leaf hash'],
  ['a stored payload hash', row(250, flipped('payload_hash')), 'row 250: payload hash'],
  ['a payload', row(240, `payload = '{"other": 1}'`), 'row 240: chain'],
  ['an actor', row(230, "actor_id = 'mallory'"), 'row 230: chain'],
  ['a hash of the chain', row(220, "current_hash = repeat('0', 64)"), 'row 220: chain'],
  ['a link of the chain', row(210, "previous_hash = repeat('0', 64)"), 'row 210: previous hash'],
])('what a superuser changes is found: %s', async (_, statement, message) => {
  const altered = await asSuperuser(home.database, (client) => client.query(statement))
  expect(altered.rowCount).toBe(1)
  await expect(home.check()).rejects.toThrow(message)
})
