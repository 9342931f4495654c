import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { tamper, verify } from '../support/audit.ts'
import type { TestDatabase } from '../support/database.ts'
import { copyOf } from '../support/database-copy.ts'
import { createTestLog, recordsOf, submit, type TestLog } from '../support/log.ts'

// What a superuser may put where numbers are: above 2^53 no number of ours can say it. The verifier names it, and goes on.

const size = 300
const above = '9007199254740993'
let home: TestLog
let copy: TestDatabase

beforeAll(async () => {
  home = await createTestLog()
  const running = await home.start()
  for (let from = 0; from < size; from += 100) await submit(running.log, recordsOf(from, from + 100))
  await running.log.waitForCheckpoint(size)
  await running.stop()
})
afterAll(() => home.drop())
beforeEach(async () => {
  copy = await copyOf(home.database)
})
afterEach(() => copy.drop())

/** Checks of the tables are taken away first, and keys between them. */
async function withoutChecks(...statements: readonly string[]): Promise<void> {
  await tamper(copy, async (client) => {
    const { rows } = await client.query<{ drop: string }>(
      `select format('alter table %s drop constraint %I cascade', conrelid::regclass, conname) as drop
       from pg_constraint
       where connamespace = 'security'::regnamespace and contype in ('c', 'f') and coninhcount = 0`,
    )
    for (const { drop } of rows) await client.query(drop)
    for (const statement of statements) await client.query(statement)
  })
}

describe('a number above 2^53', () => {
  test.each([
    ['of a row', `update security.audit_logs set lamport = ${above} where sequence_number = 20`, 'LEAF_MISMATCH'],
    [
      'of a row that is above all others',
      `create table security.far partition of security.audit_logs for values from (${above}) to (maxvalue);
       alter table security.far disable trigger all;
       insert into security.audit_logs
         (sequence_number, timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip,
          event_id, writer, payload_hash, leaf_hash)
       select ${above}, timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip,
              gen_random_uuid(), writer, payload_hash, leaf_hash
       from security.audit_logs where sequence_number = 1`,
      'UNSEALED_ROWS',
    ],
    [
      'of a known id',
      `update security.entry_ids set sequence_number = ${above} where sequence_number = 20`,
      'KNOWN_IDS_MISMATCH',
    ],
    ['of a head', `update security.tree_heads set newest_timestamp = ${above} where tree_size = 200`, 'FORGED_HEAD'],
    [
      'of a head that is above all others',
      `insert into security.tree_heads (tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal)
       select ${above}, root_hash, chain_hash, frontier, newest_timestamp, null, null, seal from security.tree_heads where tree_size = 200`,
      'FORGED_HEAD',
    ],
    [
      'of a checkpoint',
      `update security.checkpoints set timestamp_ms = ${above} where number = 1`,
      'SIGNATURE_INVALID',
    ],
    [
      'of a tile',
      `insert into security.tiles (level, tile_index, hashes) select 0, ${above}, hashes from security.tiles limit 1`,
      'TILE_MISMATCH',
    ],
  ])('%s is named', async (_, statement, violationType) => {
    await withoutChecks(statement)
    const report = await verify(copy, home.keys)
    expect(report.findings.map((finding) => finding.violationType)).toContain(violationType)
    expect(report.totalLogsScanned).toBe(size)
  })
})

describe('a table', () => {
  test.each(['checkpoints', 'tiles', 'entry_ids'])('%s that was emptied is no log that is in order', async (name) => {
    await withoutChecks(`truncate security.${name}`)
    const last = await home.cell.read()
    if (last === undefined) throw new Error('no memory')
    const report = await verify(copy, home.keys, [{ treeSize: last.treeSize, root: last.root, knownBy: 'the signer' }])
    expect(report.isSecure).toBe(false)
  })

  test('of rows that is empty is no log that is in order', async () => {
    await withoutChecks('truncate security.audit_logs')
    expect((await verify(copy, home.keys)).isSecure).toBe(false)
  })
})
