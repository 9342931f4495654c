import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { KnownHead } from '../../src/audit/outside-check.ts'
import type { EntryRange } from '../../src/audit/range-check.ts'
import { openRangeWork } from '../../src/audit/range-work.ts'
import { signatureReview } from '../../src/audit/signature-review.ts'
import {
  emptyState,
  formatState,
  type KnownFinding,
  parseState,
  type VerifierState,
} from '../../src/audit/verifier-state.ts'
import { Watch } from '../../src/audit/watch.ts'
import type { WatchTiming } from '../../src/audit/watch-timing.ts'
import { isSealed } from '../../src/log/seal.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { parseBase64 } from '../../tlog/bytes.ts'
import { asCompactRange, rangeRoot } from '../../tlog/compact-range.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import type { Hash } from '../../tlog/hash.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { edgeFromTiles } from '../../tlog/tree-edge.ts'
import { openSchemaCheck, tamper } from '../support/audit.ts'
import { asSuperuser } from '../support/database-copy.ts'
import { createTestLog, origin, type RunningLog, recordsOf, schema, submit, type TestLog } from '../support/log.ts'

// The verifier that never ends, step by step, on a log that grows and that a superuser edits.

let home: TestLog
let running: RunningLog
let stored: string | undefined
let others: readonly KnownFinding[] | undefined
let rewritten: EntryRange[]
const closing: (() => Promise<void>)[] = []

beforeEach(async () => {
  home = await createTestLog()
  running = await home.start()
  stored = undefined
  others = undefined
  rewritten = []
})
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
  await home.drop()
})

type Watching = { readonly watch: Watch; readonly found: KnownFinding[]; readonly settle: () => Promise<void> }

/** A verifier that has no patience: whatever may be due is due. */
async function openWatch(timing: Partial<WatchTiming> = {}, known: readonly KnownHead[] = []): Promise<Watching> {
  const login = home.database.as('verifier_role')
  const [session, work] = [await openReadSession(login), await openRangeWork(login, schema)]
  closing.push(session.close, work.close)
  const found: KnownFinding[] = []
  const { sealKey, vkey, sthPublicKey } = home.keys
  const state: VerifierState = stored === undefined ? emptyState : parseState(stored, origin, sealKey)
  const watch = new Watch(state, {
    ...{ session, work, schema, sha256: nativeSha256, nowMs: Date.now },
    isSealed: (head) => isSealed(sealKey, origin, head),
    review: signatureReview(parseVkey(vkey), parseBase64(sthPublicKey)),
    askOutside: async () => ({ known, findings: [], notAsked: [] }),
    schemaCheck: await openSchemaCheck(),
    onNotChecked: (reason) => {
      throw new Error(reason)
    },
    readOthers: async () => {
      if (others === undefined) return undefined
      const findings = others
      others = undefined
      return { ...emptyState, findings }
    },
    onRewritten: (range) => {
      rewritten.push(range)
    },
    dueMs: () => null,
    save: async (next) => {
      stored = formatState(next, origin, sealKey)
    },
    onFinding: async (_, finding) => {
      found.push(finding)
    },
    timing: { probeMs: 0, rangeMs: 0, rangeShare: Number.POSITIVE_INFINITY, saveMs: 0, stepEntries: 300, ...timing },
  })
  // All that is new, then a probe and the whole round.
  const settle = async (): Promise<void> => {
    do await watch.step()
    while (watch.progress.verifiedSize < watch.progress.size)
    for (let i = 0; i < 3; i++) await watch.step()
  }
  return { watch, found, settle }
}

async function append(from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 100) await submit(running.log, recordsOf(at, Math.min(to, at + 100)))
  await running.log.waitForCheckpoint(to)
}

async function rootOf(size: number): Promise<Hash> {
  const edge = await edgeFromTiles(running.log.tiles, asTreeSize(size), nativeSha256)
  return rangeRoot(asCompactRange(edge.size, edge.frontier), nativeSha256)
}

type Held = { readonly client: Client; readonly xid: number }

/** Transactions that have their numbers, and have done nothing yet. */
async function holdTransactions(count: number): Promise<readonly Held[]> {
  const held: Held[] = []
  for (let i = 0; i < count; i++) {
    const client = new Client(home.database.admin)
    await client.connect()
    await client.query('begin')
    const { rows } = await client.query<{ xid: number }>('select pg_current_xact_id()::text::float8 as xid')
    held.push({ client, xid: rows[0]?.xid ?? 0 })
  }
  return held
}

/** The transactions that wrote the rows of entries. */
async function writersOf(...sequenceNumbers: number[]): Promise<number[]> {
  const statement = `select xmin::text::float8 as xid
    from security.audit_logs
    where sequence_number = any($1)
    order by sequence_number`
  const rows = await asSuperuser(home.database, async (client) => await client.query(statement, [sequenceNumbers]))
  return rows.rows.map(({ xid }: { xid: number }) => xid)
}

/** Two of the writers, by index in order, and two other transactions whose numbers have their sum. */
function pairsOfOneSum(
  writers: readonly number[],
  held: readonly Held[],
): { readonly changed: readonly number[]; readonly by: readonly Held[] } {
  const bySum = new Map(held.flatMap((a, i) => held.slice(i + 1).map((b) => [a.xid + b.xid, [a, b]] as const)))
  for (const [i, one] of writers.entries()) {
    for (const [j, other] of writers.entries()) {
      const by = j > i ? bySum.get(one + other) : undefined
      if (by !== undefined) return { changed: [i, j], by }
    }
  }
  throw new Error('no two pairs of transactions have one sum')
}

const brief = (found: readonly KnownFinding[]): unknown[] =>
  found.map(({ violationType, sequenceNumber }) => [violationType, sequenceNumber])

test('new entries are verified as they come, and a log that nobody touched has no findings', async () => {
  const { watch, found, settle } = await openWatch()
  await settle()
  expect(watch.progress).toMatchObject({ verifiedSize: 0, size: 0, findings: 0 })
  for (const [from, to] of [
    [0, 1],
    [1, 255],
    [255, 256],
    [256, 257],
    [257, 1_000],
  ] as const) {
    await append(from, to)
    await settle()
    expect(watch.progress).toMatchObject({ verifiedSize: to, size: to })
  }
  expect(found).toEqual([])
})

test('a verifier that is started again goes on where it stood', async () => {
  await append(0, 700)
  await (await openWatch()).settle()
  const again = await openWatch()
  expect(again.watch.progress).toMatchObject({ verifiedSize: 512, findings: 0 })
  await append(700, 800)
  await again.settle()
  expect(again.watch.progress.verifiedSize).toBe(800)
  expect(again.found).toEqual([])
})

describe('a row that was changed after it was verified', () => {
  test.each([
    ['updated', `update security.audit_logs set payload = '{}' where sequence_number = 300`, ['PAYLOAD_CORRUPT', 300]],
    ['deleted', 'delete from security.audit_logs where sequence_number = 300', ['GAP_IN_SEQUENCE', 300]],
    [
      'updated in the unfinished tile',
      `update security.audit_logs set writer = 'x' where sequence_number = 650`,
      ['LEAF_MISMATCH', 650],
    ],
  ])('and %s is found by a probe, once', async (_, statement, want) => {
    await append(0, 700)
    const { watch, found, settle } = await openWatch({ coverMs: 3_600_000, rangeMs: 3_600_000 })
    await settle()
    await tamper(home.database, statement)
    expect(found).toEqual([])
    await settle()
    expect(brief(found)).toEqual([want])
    await settle()
    expect(found).toHaveLength(1)
    expect(watch.progress.findings).toBe(1)
    // Neither does the one that is started next tell it again.
    const again = await openWatch()
    await again.settle()
    expect(again.found).toEqual([])
    expect(again.watch.progress.findings).toBe(1)
  })

  test('is found by the round, where nothing was probed', async () => {
    await append(0, 700)
    const { watch, found, settle } = await openWatch({ probeMs: 3_600_000 })
    await settle()
    const before = watch.progress.coveredMs
    expect(before).not.toBeNull()
    await tamper(home.database, `update security.audit_logs set payload = '{}' where sequence_number = 300`)
    await settle()
    expect(brief(found)).toEqual([['PAYLOAD_CORRUPT', 300]])
    expect(watch.progress.coveredMs).toBeGreaterThan(Number(before))
  })

  test('by transactions whose numbers have the sum of those before is seen by the probe', async () => {
    // Other tests take numbers of the same cluster meanwhile: of many rows and transactions some pairs have one sum.
    const rows = [10, 30, 50, 70, 90, 110]
    const held: Held[] = []
    try {
      for (const n of rows) {
        await append(n - 10, n + 10)
        held.push(...(await holdTransactions(5)))
      }
      const { found, settle } = await openWatch({ rangeMs: 3_600_000 })
      await settle()
      const writers = await writersOf(...rows)
      const { changed, by } = pairsOfOneSum(writers, held)
      const [one, other] = changed.map((i) => rows[i] as number) as [number, number]
      await tamper(home.database, async () => {
        for (const [i, n] of [one, other].entries()) {
          await by[i]?.client.query(
            `update security.audit_logs set payload = '{}' where sequence_number = ${n}; commit`,
          )
        }
      })
      const after = await writersOf(...rows)
      const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)
      expect([sum(after), after.filter((xid, i) => xid !== writers[i]).length]).toEqual([sum(writers), 2])
      await settle()
      expect(brief(found)).toEqual([
        ['PAYLOAD_CORRUPT', one],
        ['PAYLOAD_CORRUPT', other],
      ])
    } finally {
      await Promise.all(held.map(({ client }) => client.end()))
    }
  })

  test('and changed back is told, and is no finding', async () => {
    await append(0, 300)
    const { found, settle } = await openWatch({ rangeMs: 3_600_000 })
    await settle()
    expect(rewritten).toEqual([])
    const where = 'where sequence_number = 7'
    await tamper(
      home.database,
      `create table kept as select payload from security.audit_logs ${where};
       update security.audit_logs set payload = '{}' ${where};
       update security.audit_logs set payload = (select payload from kept) ${where};
       drop table kept`,
    )
    await settle()
    expect(found).toEqual([])
    expect(rewritten).toEqual([{ above: 0, upTo: 300 }])
    await settle()
    expect(rewritten).toHaveLength(1)
  })

  test('does not stop the verifier from going on', async () => {
    await append(0, 700)
    const { watch, found, settle } = await openWatch()
    await settle()
    await tamper(home.database, `update security.audit_logs set payload = '{}' where sequence_number = 650`)
    await append(700, 1_000)
    await settle()
    expect(watch.progress.verifiedSize).toBe(1_000)
    expect(brief(found)).toEqual([['PAYLOAD_CORRUPT', 650]])
  })
})

describe('a log that is not the one that was verified', () => {
  test('because its end was cut off is a rollback by the memory', async () => {
    await append(0, 700)
    const { settle } = await openWatch()
    await settle()
    await running.stop()
    await tamper(
      home.database,
      `delete from security.checkpoints where tree_size > 300;
      delete from security.audit_logs where sequence_number > 300;
      delete from security.entry_ids where sequence_number > 300;
      delete from security.tiles;
      insert into security.tiles (level, tile_index, hashes)
        select 0, 0, string_agg(leaf_hash, '' order by sequence_number) from security.audit_logs where sequence_number <= 256;
      delete from security.tree_heads where tree_size > 300`,
    )
    const again = await openWatch()
    await again.settle()
    expect(brief(again.found)).toEqual([['ROLLBACK', null]])
  })

  test('because the signer remembers more is a rollback', async () => {
    await append(0, 100)
    const last = await home.cell.read()
    if (last === undefined) throw new Error('no memory')
    const { found, settle } = await openWatch({}, [{ treeSize: 200, root: last.root, knownBy: 'the signer' }])
    await settle()
    expect(found).toMatchObject([
      { violationType: 'ROLLBACK', detail: 'the log has 100 entries; the signer knows 200' },
    ])
  })

  test('because somebody knows another tree of a beginning that was verified long ago is a fork', async () => {
    await append(0, 700)
    const root = await rootOf(512)
    const right = { treeSize: 512, root, knownBy: 'a monitor' }
    const wrong = { treeSize: 100, root, knownBy: 'another monitor' }
    await (await openWatch()).settle()
    const { found, settle } = await openWatch({}, [right, wrong])
    await append(700, 800)
    await settle()
    expect(brief(found)).toEqual([['FORKED', null]])
    expect(found[0]?.detail).toContain('tree of size 100')
  })

  test('because a row was put above its newest head has unsealed rows', async () => {
    await append(0, 100)
    const { found, settle } = await openWatch()
    await settle()
    await tamper(
      home.database,
      `insert into security.audit_logs (sequence_number, timestamp, actor_id, action, resource, payload, previous_hash,
        current_hash, client_ip, event_id, writer, payload_hash, leaf_hash)
      select sequence_number + 1, timestamp, actor_id, action, resource, payload, current_hash, previous_hash, client_ip,
        gen_random_uuid(), writer, payload_hash, leaf_hash
      from security.audit_logs where sequence_number = 100`,
    )
    await settle()
    expect(brief(found)).toEqual([['UNSEALED_ROWS', 101]])
  })

  test.each([
    ['a column was dropped', 'alter table security.audit_logs drop column client_ip', 'audit_logs: column client_ip'],
    ['a table was renamed', 'alter table security.tiles rename to tiles_gone', 'tiles: is gone'],
  ])('because %s is tampered with, not unchecked', async (_, statement, detail) => {
    await append(0, 300)
    await running.stop()
    await tamper(home.database, statement)
    const { watch, found } = await openWatch()
    for (let i = 0; i < 3; i++) await watch.step()
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({ violationType: 'SCHEMA_TAMPERED', detail: expect.stringContaining(detail) })
  })
})

test('what somebody has forgotten meanwhile is told again, what another verifier told is not', async () => {
  await append(0, 700)
  const { watch, found, settle } = await openWatch({ probeMs: 3_600_000 })
  await settle()
  await tamper(home.database, `update security.audit_logs set payload = '{}' where sequence_number = 300`)
  await settle()
  expect(brief(found)).toEqual([['PAYLOAD_CORRUPT', 300]])
  const told = found[0]
  others = []
  await settle()
  expect(brief(found)).toEqual([
    ['PAYLOAD_CORRUPT', 300],
    ['PAYLOAD_CORRUPT', 300],
  ])
  expect(told).toBeDefined()
  others = told === undefined ? [] : [told, { ...told, key: 'PAYLOAD_CORRUPT entry 5', sequenceNumber: 5 }]
  await settle()
  expect(watch.progress.findings).toBe(2)
  expect(found).toHaveLength(2)
})

test('an altered tile is all that a verifier finds that begins, and what it remembers is right', async () => {
  await append(0, 700)
  const flip = `update security.tiles set hashes = set_byte(hashes, 70, get_byte(hashes, 70) # 1) where tile_index = 1`
  await tamper(home.database, flip)
  const { found, settle } = await openWatch()
  await settle()
  expect(found.map(({ violationType, detail }) => [violationType, detail])).toEqual([
    ['TILE_MISMATCH', expect.stringContaining('tile 1 of level 0')],
  ])
  await tamper(home.database, flip)
  others = []
  await settle()
  expect(found).toHaveLength(1)
})

test('checkpoints that are removed are missed: in the middle, and all of them', async () => {
  for (let at = 0; at < 500; at += 100) await append(at, at + 100)
  const { found, settle } = await openWatch()
  await settle()
  await tamper(home.database, 'delete from security.checkpoints where number = 2')
  await settle()
  await tamper(home.database, 'delete from security.checkpoints')
  await settle()
  const details = found
    .filter(({ violationType }) => violationType === 'CHECKPOINT_MISSING')
    .map(({ detail }) => detail)
  expect(details).toEqual([
    'checkpoint 2 is not there, as its neighbours would have it',
    expect.stringMatching(/^checkpoints 0 to \d+ are not there, as the verifier would have it$/),
  ])
})

test('ids and tiles that belong to nothing are found when a round ends', async () => {
  await append(0, 300)
  const { found, settle } = await openWatch({ probeMs: 3_600_000 })
  await settle()
  const id = '00000000-0000-7000-8000-0000000000ff'
  await tamper(
    home.database,
    `insert into security.entry_ids (event_id, sequence_number) values ('${id}', 9);
    insert into security.tiles (level, tile_index, hashes) select 2, 0, hashes from security.tiles where level = 0`,
  )
  await settle()
  await settle()
  expect(found.map(({ violationType, detail }) => [violationType, detail])).toEqual([
    ['TILE_MISMATCH', expect.stringContaining('tile 0 of level 2')],
    ['KNOWN_IDS_MISMATCH', expect.stringContaining(id)],
  ])
})

test('a trigger that was disabled is told with the probe, once, and the log goes on', async () => {
  await append(0, 300)
  const { watch, found, settle } = await openWatch()
  await settle()
  await tamper(home.database, async () => {})
  await settle()
  expect(found).toEqual([])
  await asSuperuser(home.database, async (client) => {
    await client.query(
      'alter event trigger security_guard_end disable; alter event trigger security_guard_drop disable',
    )
    await client.query('alter table security.tiles disable trigger refuse_change')
  })
  await settle()
  await settle()
  expect(found.map(({ detail }) => detail.slice(0, 62))).toEqual([
    expect.stringContaining('event trigger security_guard_drop: state is "disabled"'),
    expect.stringContaining('event trigger security_guard_end: state is "disabled"'),
    expect.stringContaining('security.tiles: trigger refuse_change is "disabled'),
  ])
  await append(300, 400)
  await settle()
  expect(watch.progress).toMatchObject({ verifiedSize: 400, findings: 3 })
})

test('a database that is away rejects, and finds nothing', async () => {
  await append(0, 100)
  const { watch, found, settle } = await openWatch()
  await settle()
  await closing[0]?.()
  await expect(watch.step()).rejects.toThrow()
  expect(found).toEqual([])
})

describe('the state', () => {
  test('is of one log and one key, and not to be altered', async () => {
    await append(0, 300)
    await (await openWatch()).settle()
    const text = stored ?? ''
    const key = home.keys.sealKey
    expect(formatState(parseState(text, origin, key), origin, key)).toBe(text)
    const others: [string, string, Uint8Array][] = [
      [text.replace('"size":256', '"size":0'), origin, key],
      [text, 'other.example', key],
      [text, origin, new Uint8Array(32)],
      ['', origin, key],
      ['{}', origin, key],
    ]
    for (const [other, name, otherKey] of others) {
      expect(() => parseState(other, name, otherKey)).toThrow('is not what it wrote')
    }
  })
})
