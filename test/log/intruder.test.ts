import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readProvedColumns } from '../../src/log/published-entries.ts'
import { TileCache } from '../../src/log/tile-cache.ts'
import { blamingTiles } from '../../src/log/tile-damage.ts'
import { openTilesBelow } from '../../src/log/tiles-below.ts'
import { TreeProofs } from '../../src/log/tree-proofs.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { entryReads } from '../../src/store/entries.ts'
import { openPool } from '../../src/store/session.ts'
import { eventId, headRow, ledgerRow } from '../migrations/ledger.ts'
import { asSuperuser } from '../support/database-copy.ts'
import {
  createTestLog,
  type RunningLog,
  recordsOf,
  schema,
  submissionOf,
  submit,
  type TestLog,
  untilIncident,
} from '../support/log.ts'
import { sequenceUnsigned } from '../support/sequencer.ts'

// Whoever has stolen the writer's login may insert whatever the tables take. Nothing of it is ever signed.

let home: TestLog
beforeEach(async () => {
  home = await createTestLog()
})
afterEach(() => home.drop())

async function asWriter(...statements: readonly { text: string; values?: unknown[] }[]): Promise<void> {
  const client = new Client(home.database.as('app_writer_role'))
  client.on('error', () => {})
  await client.connect()
  try {
    for (const { text, values = [] } of statements) await client.query(text, values)
  } finally {
    await client.end()
  }
}

/** A head for one more row on the newest one, right in everything but its seal. */
async function forgedHead(): Promise<{ text: string; values: unknown[] }> {
  const newest = await asSuperuser(home.database, async (client) => {
    const { rows } = await client.query<{
      tree_size: string
      root_hash: Buffer
      newest_timestamp: string
      seal: Buffer
    }>('select * from security.tree_heads order by tree_size desc limit 1')
    return rows[0]
  })
  if (newest === undefined) throw new Error('no head')
  const size = Number(newest.tree_size)
  const [root, chain] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
  return {
    text: `insert into security.tree_heads
      (tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal)
      values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    values: [size + 1, root, chain, root, newest.newest_timestamp, size, newest.root_hash, newest.seal],
  }
}

async function expectUnsigned(running: RunningLog, code: string, publishedSize: number): Promise<void> {
  const before = await home.cell.read()
  await expect(submit(running.log, recordsOf(700, 701))).rejects.toThrow('takes no entries now')
  expect(running.log.health).toMatchObject({ isReady: false, incident: code, publishedSize })
  expect(await home.cell.read()).toEqual(before)
  expect(before?.treeSize).toBe(publishedSize)
}

describe.each(['while the log runs', 'before it starts'] as const)('inserted %s', (when) => {
  async function afterInserting(insert: () => Promise<void>): Promise<RunningLog> {
    const running = await home.start()
    await submit(running.log, recordsOf(0, 20))
    await running.log.waitForCheckpoint(20)
    if (when === 'while the log runs') {
      await insert()
      return running
    }
    await running.stop()
    await insert()
    return home.begin()
  }

  test('a head without a seal of ours is FORGED_HEAD', async () => {
    const running = await afterInserting(async () => asWriter({ text: ledgerRow(21) }, await forgedHead()))
    await untilIncident(running, 'FORGED_HEAD')
    await expectUnsigned(running, 'FORGED_HEAD', 20)
  })

  test('rows above the newest head are UNSEALED_ROWS as soon as the log looks', async () => {
    const running = await afterInserting(() => asWriter({ text: ledgerRow(21) }))
    if (when === 'while the log runs') {
      await expect(submit(running.log, recordsOf(20, 30))).rejects.toThrow('not known whether')
    }
    await untilIncident(running, 'UNSEALED_ROWS')
    await expectUnsigned(running, 'UNSEALED_ROWS', 20)
  })
})

test('a row far above the newest head, in a later partition, is UNSEALED_ROWS at the next start', async () => {
  await (await home.start()).stop()
  await asWriter({ text: ledgerRow(70_000) })
  await untilIncident(await home.begin(), 'UNSEALED_ROWS')
})

test.each([
  ['the next', 0, 0],
  ['a later one', 0, 7],
  ['one of a higher level', 2, 0],
  ['one that no tree can have', 7, 0],
])('a tile ahead of the head, %s, is UNSEALED_ROWS at the next start', async (_, level, index) => {
  await (await home.start()).stop()
  await asWriter(tileAt(level, index))
  await untilIncident(await home.begin(), 'UNSEALED_ROWS')
})

test('a tile that was put in the way of the next commit ends the log with UNSEALED_ROWS, not with commits that fail for ever', async () => {
  const running = await home.start()
  await submit(running.log, recordsOf(0, 250))
  await running.log.waitForCheckpoint(250)
  await asWriter(tileAt(0, 0))
  await expect(submit(running.log, recordsOf(250, 300))).rejects.toThrow('not known whether')
  await untilIncident(running, 'UNSEALED_ROWS')
  await expectUnsigned(running, 'UNSEALED_ROWS', 250)
  expect(running.log.health.problem).toBe('tile 0 of level 0 is not of the 250 entries')
})

test('tiles of the tree itself are none that are ahead', async () => {
  const running = await home.start()
  await submit(running.log, recordsOf(0, 256))
  await running.log.waitForCheckpoint(256)
  await running.stop()
  await (await home.start()).stop()
  expect(await home.check()).toMatchObject({ size: 256 })
})

test('what SECURITY.md says of a stolen login sets aside all that it inserted, and the log goes on', async () => {
  const running = await home.start()
  await submit(running.log, recordsOf(0, 20))
  await running.stop()
  await asWriter({ text: ledgerRow(21) }, tileAt(0, 0), tileAt(1, 3), {
    text: `insert into security.entry_ids (event_id, sequence_number) values (${eventId(5)}, 70000)`,
  })
  const text = await readFile(join(import.meta.dirname, '..', '..', 'SECURITY.md'), 'utf8')
  const [, repair] = /```sql\n([\s\S]*?)```/.exec(text) ?? []
  await asSuperuser(home.database, (client) => client.query(repair ?? ''))
  const again = await home.start()
  await submit(again.log, recordsOf(20, 300))
  await again.stop()
  expect(await home.check()).toMatchObject({ size: 300, publishedSize: 300 })
  const aside = await asSuperuser(home.database, (client) =>
    client.query(`select sequence_number::int from security_aside.audit_logs`),
  )
  expect(aside.rows).toEqual([{ sequence_number: 21 }])
  await expect(asSuperuser(home.database, (client) => client.query('delete from security.tiles'))).rejects.toThrow(
    'only ever inserted',
  )
})

test.each([
  ['an id', `insert into security.entry_ids (event_id, sequence_number) values (${eventId(5)}, 9007199254740992)`],
  ['a tile', tileAt(0, 2 ** 45).text],
  ['a head', headRow(2 ** 53, 0)],
])('numbers that nobody could read are refused: %s', async (_, text) => {
  await expect(asWriter({ text })).rejects.toMatchObject({ code: '23514' })
})

function tileAt(level: number, index: number): { text: string } {
  const hashes = `decode(repeat('00', 8192), 'hex')`
  return { text: `insert into security.tiles (level, tile_index, hashes) values (${level}, ${index}, ${hashes})` }
}

test('an id that was registered without an entry does not stop the log: its owner is told of a conflict', async () => {
  await asWriter({
    text: `insert into security.entry_ids (event_id, sequence_number) values (${eventId(5)}, 70000)`,
  })
  const { log, stop } = await home.start()
  const [record] = recordsOf(0, 1)
  const id = '00000000-0000-7000-8000-000000000005'
  const { known } = await submit(log, [{ ...record, id } as NonNullable<typeof record>])
  expect(known).toEqual([{ i: 0, kind: 'conflict', sequenceNumber: 70_000 }])
  expect(await submit(log, recordsOf(1, 2))).toMatchObject({ firstSequenceNumber: 1, acceptedCount: 1 })
  await stop()
})

/** What only a superuser can do: change a row of evidence. */
async function alter(table: string, statement: string): Promise<void> {
  await asSuperuser(home.database, async (client) => {
    for (const guard of ['start', 'end', 'drop']) {
      await client.query(`alter event trigger security_guard_${guard} disable`)
    }
    await client.query(`alter table security.${table} disable trigger refuse_change`)
    await client.query(statement)
  })
}

const flipped = 'hashes = set_byte(hashes, 8191, get_byte(hashes, 8191) # 1)'
const altered = 'as stored is not the one that was signed; the leaf hashes of its 256 entries are'

test.each([
  ['altered', `update security.tiles set ${flipped} where tile_index = 1`, `tile 1 of level 0 ${altered}`],
  [
    'removed',
    'delete from security.tiles where tile_index = 0',
    'tile 0 of level 0 is not stored; the leaf hashes of its 256 entries are those that were signed',
  ],
  [
    'altered, and another one',
    `update security.tiles set ${flipped}`,
    `tile 0 of level 0 ${altered}, tile 1 of level 0 ${altered}`,
  ],
])('a full tile that a superuser %s is ROOT_MISMATCH: its entries are intact', async (_, statement, problem) => {
  const running = await home.start()
  await submit(running.log, recordsOf(0, 600))
  await running.stop()
  await alter('tiles', statement)
  const broken = await home.begin()
  await untilIncident(broken, 'ROOT_MISMATCH')
  expect(broken.log.health.problem).toBe(problem)
})

test('tiles and entries that a superuser altered together are FORKED', async () => {
  const running = await home.start()
  await submit(running.log, recordsOf(0, 600))
  await running.stop()
  await alter('tiles', `update security.tiles set ${flipped} where tile_index = 1`)
  await alter('audit_logs', `update security.audit_logs set leaf_hash = sha256(leaf_hash) where sequence_number = 300`)
  await untilIncident(await home.begin(), 'FORKED')
})

test('a full tile that a superuser altered before its entries were signed is named too', async () => {
  const running = await home.start()
  await running.stop()
  await sequenceUnsigned(
    home,
    recordsOf(0, 300).map((record) => submissionOf(record)),
  )
  await alter('tiles', `update security.tiles set ${flipped}`)
  const broken = await home.begin()
  await untilIncident(broken, 'ROOT_MISMATCH')
  expect(broken.log.health.problem).toBe(`tile 0 of level 0 ${altered}`)
})

test('entries that do not fit for a tile that a superuser altered are not to blame; altered ones are', async () => {
  const { log } = await home.start()
  await submit(log, recordsOf(0, 600))
  const checkpoint = await log.waitForCheckpoint(600)
  const pool = openPool(home.database.as('auditor_reader_role'), 4, 10_000)
  const hash = nativeSha256
  const readFirst = (): Promise<unknown> => {
    const tiles = new TileCache(openTilesBelow(pool, schema, hash), hash)
    const reads = entryReads(pool.query, schema)
    const published = { reads, tiles, proofs: new TreeProofs(tiles, hash), checkpoint, hash }
    return blamingTiles({ query: pool.query, schema, hash }, checkpoint, () => readProvedColumns(published, 1, 256))
  }
  await expect(readFirst()).resolves.toMatchObject({ proved: { length: 256 }, damaged: [] })
  await alter('audit_logs', `update security.audit_logs set actor_id = 'eve' where sequence_number = 7`)
  await expect(readFirst()).resolves.toMatchObject({ proved: { length: 255 }, damaged: [7] })
  await alter('audit_logs', `update security.audit_logs set actor_id = 'actor 6' where sequence_number = 7`)
  await alter('tiles', `update security.tiles set ${flipped} where tile_index = 1`)
  await expect(readFirst()).rejects.toMatchObject({ code: 'ROOT_MISMATCH', message: `tile 1 of level 0 ${altered}` })
  await pool.close()
})

test.each([
  ['time of the newest entry', 'newest_timestamp = newest_timestamp - 1'],
  ['frontier', 'frontier = set_byte(frontier, 0, get_byte(frontier, 0) # 1)'],
])('a head of which a superuser altered the %s is FORGED_HEAD', async (_, change) => {
  const running = await home.start()
  await submit(running.log, recordsOf(0, 20))
  await running.stop()
  await alter('tree_heads', `update security.tree_heads set ${change} where tree_size = 20`)
  await untilIncident(await home.begin(), 'FORGED_HEAD')
})
