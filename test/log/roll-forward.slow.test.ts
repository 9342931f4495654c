import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RolledForward, rollForward } from '../../src/log/roll-forward.ts'
import { databaseSource } from '../../src/log/roll-source.ts'
import { openFileCell } from '../../src/log/signer-cell.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { openPool, openSession } from '../../src/store/session.ts'
import { tamper } from '../support/audit.ts'
import { checkLog } from '../support/check-log.ts'
import type { TestDatabase } from '../support/database.ts'
import { asSuperuser, copyOf } from '../support/database-copy.ts'
import { checkOptions, createTestLog, origin, recordsOf, schema, submit, type TestLog } from '../support/log.ts'

// A database of 300 entries, restored when 900 were committed and 800 signed, and a newer copy that somebody may alter.

const early = 300
const signedSize = 800
const size = 900
let home: TestLog
let backup: TestDatabase
/** The signer's memory of 800 entries. */
let memory: string

beforeAll(async () => {
  home = await createTestLog()
  const file = join(home.folder, 'signer-state.json')
  memory = join(home.folder, 'memory')
  await grow(0, early)
  backup = await copyOf(home.database)
  await grow(early, signedSize)
  await cp(file, memory)
  await grow(signedSize, size)
  // The server ended before it could sign what it had committed.
  await tamper(home.database, `delete from security.checkpoints where tree_size > ${signedSize}`)

  async function grow(from: number, to: number): Promise<void> {
    const running = await home.start()
    for (let at = from; at < to; at += 100) {
      await submit(running.log, recordsOf(at, at + 100))
      await running.log.waitForCheckpoint(at + 100)
    }
    await running.stop()
  }
})
afterAll(async () => {
  await backup.drop()
  await home.drop()
})

let restored: TestDatabase
let newer: TestDatabase
beforeEach(async () => {
  restored = await copyOf(backup)
  newer = await copyOf(home.database)
  await cp(memory, join(home.folder, 'cell'))
})
afterEach(async () => {
  await restored.drop()
  await newer.drop()
})

async function roll(isTrial = false, stopAt = Number.POSITIVE_INFINITY): Promise<RolledForward> {
  const stopping = new AbortController()
  const onProgress = (at: number): void => (at >= stopAt ? stopping.abort() : undefined)
  const cell = openFileCell(join(home.folder, 'cell'))
  const [writer, signer] = [
    openPool(restored.as('app_writer_role'), 1, 10_000),
    openPool(restored.as('checkpoint_signer_role'), 1, 10_000),
  ]
  const session = isTrial ? undefined : await openSession(restored.as('app_writer_role'), 10_000)
  const read = await openReadSession(newer.as('auditor_reader_role'))
  try {
    return await rollForward({
      ...{ origin, keys: home.keys, cell, schema, hash: nativeSha256, session, onProgress, signal: stopping.signal },
      ...{ writer: writer.query, signer: signer.query, source: databaseSource(read.query, schema, nativeSha256) },
    })
  } finally {
    await Promise.all([writer.close(), signer.close(), session?.close(), read.close()])
  }
}

/** Of each table of evidence how many rows there are. */
function countRows(): Promise<unknown> {
  return asSuperuser(restored, async (client) => {
    const tables = ['audit_logs', 'entry_ids', 'tiles', 'tree_heads', 'checkpoints']
    const counts = tables.map((table) => `(select count(*) from security.${table}) as ${table}`)
    return (await client.query(`select ${counts.join(', ')}`)).rows[0]
  })
}

test('what is behind the last checkpoint, under the seal, comes along: it may have been answered for', async () => {
  expect(await roll()).toMatchObject({
    fromSize: early,
    toSize: size,
    signedSize,
    lostCheckpoints: 0,
    leftOut: undefined,
  })
  const summary = await checkLog(checkOptions(restored.as('auditor_reader_role'), home.keys))
  expect(summary).toMatchObject({ size })
})

test('it may be done again, and does nothing then', async () => {
  await roll()
  const before = await countRows()
  expect(await roll()).toMatchObject({ fromSize: size, toSize: size, checkpoints: 0 })
  expect(await countRows()).toEqual(before)
})

test('a trial says the same, and writes nothing', async () => {
  const before = await countRows()
  const trial = await roll(true)
  expect(await countRows()).toEqual(before)
  expect(await roll()).toEqual(trial)
})

test('whoever stops it has changed nothing', async () => {
  const before = await countRows()
  await expect(roll(false, 500)).rejects.toThrow('aborted')
  expect(await countRows()).toEqual(before)
  expect(await roll()).toMatchObject({ fromSize: early, toSize: size })
})

test.each([
  ['a row', 'delete from security.audit_logs where sequence_number = 850'],
  ['a seal', `update security.tree_heads set seal = sha256('x') where tree_size = 900`],
])('%s that is wrong behind the last checkpoint ends it there', async (_, statement) => {
  await tamper(newer, statement)
  expect(await roll()).toMatchObject({ toSize: signedSize, leftOut: expect.any(String) })
  await checkLog(checkOptions(restored.as('auditor_reader_role'), home.keys))
})

describe('nothing is written where', () => {
  const update = (set: string, where = 'sequence_number = 550'): string =>
    `update security.audit_logs set ${set} where ${where}`
  const altered = 'entry 550 of the source was altered'
  test.each([
    ['a payload is another', update(`payload = '{"n": 7}'`), altered],
    ['a payload is no object', update(`payload = '[1e400]'`), altered],
    ['a time is none', update(`timestamp = 'infinity'`), 'infinity'],
    ['an actor is another', update(`actor_id = 'somebody'`), altered],
    ['a time is another', update(`timestamp = timestamp + interval '1 us'`), altered],
    ['an address is another', update(`client_ip = '::9'`), altered],
    ['an id is another', update('event_id = gen_random_uuid()'), altered],
    ['a chain hash is another', update(`current_hash = repeat('ab', 32)`), altered],
    ['a leaf hash is another', update(`leaf_hash = sha256('x')`), altered],
    ['a row is not there', 'delete from security.audit_logs where sequence_number = 550', 'has no entry 550'],
    [
      'a tile is another',
      `update security.tiles set hashes = decode(repeat('ab', 8192), 'hex')`,
      'tiles of the source',
    ],
    ['a seal is another', `update security.tree_heads set seal = sha256('x') where tree_size = 600`, 'no valid seal'],
    [
      'a head is not there',
      'set session_replication_role = replica; delete from security.tree_heads where tree_size = 600',
      'does not follow the 500 entries',
    ],
    [
      'the signed head is not there',
      `set session_replication_role = replica; delete from security.tree_heads where tree_size >= ${signedSize}`,
      `does not contain the ${signedSize} entries`,
    ],
    [
      'a checkpoint is not signed',
      `update security.checkpoints set note = replace(note, E'\\n600\\n', E'\\n601\\n') where tree_size = 600`,
      'is not one that test.example/log signed',
    ],
    [
      'a checkpoint goes back',
      `set session_replication_role = replica;
      update security.checkpoints c set (tree_size, root_hash, timestamp_ms, note, sth_signature, cose_signature) =
        (select tree_size, root_hash, timestamp_ms, note, sth_signature, cose_signature from security.checkpoints where tree_size = 400 limit 1)
      where c.tree_size = 600`,
      'goes back',
    ],
  ])('%s', async (_, statement, reason) => {
    await tamper(newer, statement)
    const before = await countRows()
    await expect(roll()).rejects.toThrow(reason)
    expect(await countRows()).toEqual(before)
  })

  test.each([
    [
      'its newest head is not sealed',
      `update security.tree_heads set seal = sha256('x') where tree_size = 300`,
      'FORGED_HEAD',
    ],
    [
      'there are rows above its head',
      `set session_replication_role = replica; delete from security.tree_heads where tree_size = 300`,
      'UNSEALED_ROWS',
    ],
    ['its tiles are others', `update security.tiles set hashes = decode(repeat('ab', 8192), 'hex')`, 'ROOT_MISMATCH'],
  ])('the database is more than old: %s', async (_, statement, code) => {
    await tamper(restored, statement)
    const before = await countRows()
    await expect(roll()).rejects.toMatchObject({ code })
    expect(await countRows()).toEqual(before)
  })
})
