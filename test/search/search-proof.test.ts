import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Log } from '../../src/log/log.ts'
import { readProvedColumns } from '../../src/log/published-entries.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import type { SearchDefect } from '../../src/search/search-defect.ts'
import { type ProofTiming, SearchProof } from '../../src/search/search-proof.ts'
import { entryReads } from '../../src/store/entries.ts'
import { extendSearch, readSearchPosition } from '../../src/store/search.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { createTestLog, recordsOf, schema, submit, type TestLog } from '../support/log.ts'

// A superuser does to the search tables what he likes; what follows is what the proof makes of it.

const step = 512
const entries = step + 188
let home: TestLog
let log: Log
let state: Pool
let admin: Pool
let found: SearchDefect[] = []
let failures: unknown[] = []
beforeAll(async () => {
  home = await createTestLog()
  ;({ log } = await home.start({ poolLimits: { entriesMax: 10_000, bytesMax: 64_000_000 } }))
  state = openPool(home.database.as('app_state_role'), 1, 60_000)
  admin = openPool(home.database.admin, 1, 60_000)
  await append(0, entries)
})
afterAll(async () => {
  await Promise.all([state.close(), admin.close()])
  await home.drop()
})

async function append(from: number, to: number): Promise<void> {
  await submit(log, recordsOf(from, to))
  await log.waitForCheckpoint(to)
  while ((await extendSearch(state.query, schema, to, 131_072)) < to);
}

/** A proof as a server that starts has it. */
async function openProof(timing: Partial<ProofTiming> = {}): Promise<SearchProof> {
  const position = await readSearchPosition(state.query, schema)
  found = []
  failures = []
  const reads = entryReads(log.reader.query, schema)
  return new SearchProof(state.query, schema, {
    readEntries: (from, to) =>
      readProvedColumns(
        { reads, tiles: log.tiles, proofs: log.proofs, checkpoint: log.published, hash: nativeSha256 },
        from,
        to,
      ),
    publishedSize: () => log.published.treeSize,
    searchedSize: () => position,
    onDefects: (defects) => found.push(...defects),
    onFailed: (_, error) => failures.push(error),
    timing: { roundMinMs: 0, ...timing },
  })
}

/** Steps that lead through all of it once, and what they found. */
async function walk(proof: SearchProof): Promise<SearchDefect[]> {
  found = []
  for (let steps = 0; steps < Math.ceil(log.published.treeSize / step); steps++) await proof.step()
  return found
}

async function tables(): Promise<unknown> {
  const [row] = await admin.query(
    `select count(*)::int as entries, count(*) filter (where s is distinct from l)::int as differing
     from (select sequence_number, timestamp, actor_id::text, action::text, resource::text, client_ip::text, writer,
             leaf_hash
           from security.audit_logs) l
     full join security_state.search s using (sequence_number)`,
  )
  return row
}

/** Of entry 300, without the guards that would refuse it. */
async function changeLedger(change: string): Promise<void> {
  const guards = ['start', 'end', 'drop'].map((name) => `alter event trigger security_guard_${name} disable;`)
  await admin.query(`${guards.join('\n')} alter table security.audit_logs disable trigger all;`)
  await admin.query(`update security.audit_logs ${change} where sequence_number = 300`)
}

const right = { entries, differing: 0 }

test('what is in the tables is proved step by step, and a later start goes on there', async () => {
  const proof = await openProof()
  await proof.step()
  expect(proof.provenSize).toBe(step)
  const next = await openProof()
  await next.step()
  expect([next.provenSize, found, failures]).toEqual([entries, [], []])
  const [row] = await admin.query(`select position from security_state.positions where follower = 'search-proven'`)
  expect(row).toEqual({ position: String(entries) })
})

const alterations: readonly (readonly [string, string, readonly Partial<SearchDefect>[]])[] = [
  ...['actor_id', 'action', 'resource', 'client_ip', 'writer'].map(
    (column) =>
      [
        `another ${column}`,
        `update security_state.search set ${column} = 'x' where sequence_number = 17`,
        [{ sequenceNumber: 17, kind: 'altered', columns: [column] } as const],
      ] as const,
  ),
  [
    'a time one microsecond later',
    `update security_state.search set timestamp = timestamp + interval '1 microsecond' where sequence_number = 18`,
    [{ sequenceNumber: 18, kind: 'altered', columns: ['timestamp'] }],
  ],
  [
    'a time that is none',
    `update security_state.search set timestamp = 'infinity' where sequence_number = 18`,
    [{ sequenceNumber: 18, kind: 'altered', columns: ['timestamp'] }],
  ],
  [
    'another leaf hash',
    `update security_state.search set leaf_hash = sha256('x') where sequence_number = 600`,
    [{ sequenceNumber: 600, kind: 'altered', columns: ['leaf_hash'] }],
  ],
  [
    'rows that are gone',
    'delete from security_state.search where sequence_number in (1, 256, 700)',
    [1, 256, 700].map((sequenceNumber) => ({ sequenceNumber, kind: 'missing' as const })),
  ],
  [
    'two rows that changed places',
    `update security_state.search a
     set actor_id = b.actor_id, timestamp = b.timestamp, leaf_hash = b.leaf_hash
     from security_state.search b
     where a.sequence_number + b.sequence_number = 201 and a.sequence_number in (100, 101)`,
    [100, 101].map((sequenceNumber) => ({ sequenceNumber, kind: 'altered' as const })),
  ],
  [
    'a row of an entry that is not there',
    `insert into security_state.search
     select 5000, timestamp, actor_id, action, resource, client_ip, writer, leaf_hash
     from security_state.search where sequence_number = 1`,
    [{ sequenceNumber: entries + 1, kind: 'additional' }],
  ],
]

test.each(alterations)('%s: found with the place, and mended', async (_, change, want) => {
  await admin.query(change)
  const proof = await openProof()
  expect(await walk(proof)).toEqual(want.map((defect) => expect.objectContaining(defect)))
  expect(await tables()).toEqual(right)
  expect([await walk(proof), proof.provenSize, failures]).toEqual([[], entries, []])
})

test('a row that is there twice is found', async () => {
  const name = 'security_state.search_s0000000000000001'
  await admin.query(`alter table ${name} drop constraint search_s0000000000000001_pkey`)
  await admin.query(`insert into ${name} select * from ${name} where sequence_number = 5`)
  expect(await walk(await openProof())).toEqual([{ sequenceNumber: 5, kind: 'additional', columns: [] }])
  await admin.query(`alter table ${name} add primary key (sequence_number)`)
  expect(await tables()).toEqual(right)
})

test('a segment that is gone is made anew', async () => {
  await admin.query('drop table security_state.search_s0000000000000001')
  expect((await walk(await openProof())).length).toBe(entries)
  expect(await tables()).toEqual(right)
  const rows = await admin.query(
    `select count(*)::integer as indexes from pg_index where indrelid = 'security_state.search_s0000000000000001'::regclass`,
  )
  expect(rows).toEqual([{ indexes: 7 }])
})

test('an entry of the ledger that is not the one in the tree proves nothing, is not copied, and what follows is proved', async () => {
  await changeLedger(`set actor_id = 'eve'`)
  const proof = await openProof()
  const defects = await walk(proof)
  expect(defects).toEqual([{ sequenceNumber: 300, kind: 'damaged', columns: [] }])
  expect([proof.provenSize, await walk(proof)]).toEqual([299, []])
  const later = await openProof()
  await later.step()
  expect([later.provenSize, found]).toEqual([299, defects])
  await changeLedger(`set actor_id = 'actor 299'`)
  await walk(later)
  await walk(later)
  expect([later.provenSize, await tables()]).toEqual([entries, right])
})

test('where nothing can be mended it stays open and is told once', async () => {
  await admin.query('revoke execute on function security_state.rebuild_search(bigint, bigint) from app_state_role')
  await admin.query('delete from security_state.search where sequence_number = 40')
  const proof = await openProof()
  expect(await walk(proof)).toHaveLength(1)
  expect([await walk(proof), proof.provenSize]).toEqual([[], 39])
  expect(String(failures[0])).toContain('permission denied')
  await admin.query('grant execute on function security_state.rebuild_search(bigint, bigint) to app_state_role')
  await walk(proof)
  expect([proof.provenSize, await tables()]).toEqual([entries, right])
})

test('while entries come in, nothing is found wrong that is right', async () => {
  const appending = (async () => {
    for (let n = entries; n < entries + 300; n += 20) await append(n, n + 20)
  })()
  const stop = new AbortController()
  const proofs: SearchProof[] = []
  const walking = (async () => {
    while (!stop.signal.aborted) {
      const proof = await openProof()
      proofs.push(proof)
      expect(await walk(proof)).toEqual([])
    }
  })()
  await appending
  stop.abort()
  await walking
  expect(await walk(await openProof())).toEqual([])
  expect(proofs.length).toBeGreaterThan(0)
  expect(failures).toEqual([])
})
