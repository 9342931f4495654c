import { afterAll, beforeAll, expect, test } from 'vitest'
import { searchRange } from '../../src/search/search.ts'
import { searchFollower } from '../../src/search/search-follower.ts'
import { extendSearch, indexSearch, indexSearchTail, readSearchPosition } from '../../src/store/search.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { createTestLog, schema, submissionOf, type TestLog } from '../support/log.ts'

// Past the end of a segment: 131,072 entries have their indexes, the others when there is nothing else to do.

const segment = 131_072
const entries = segment + 9_000
let home: TestLog
let state: Pool
let admin: Pool

beforeAll(async () => {
  home = await createTestLog()
  state = openPool(home.database.as('app_state_role'), 1, 60_000)
  admin = openPool(home.database.admin, 1, 60_000)
  const limits = { entriesMax: 16_384, bytesMax: 64_000_000 }
  const { log, stop } = await home.start({ batchLimits: limits, poolLimits: limits })
  for (let n = 0; n < entries; ) {
    const count = Math.min(8_192, entries - n)
    const batch = Array.from({ length: count }, (_, i) => {
      const rare = (n + i) % 50_000 === 17
      return submissionOf({
        actorId: rare ? 'rare' : `a${(n + i) % 7}`,
        action: 'x',
        resource: `r${n + i}`,
        payload: {},
      })
    })
    await log.submit(batch)
    n += count
  }
  await log.waitForCheckpoint(entries)
  await stop()
}, 120_000)
afterAll(async () => {
  await Promise.all([state.close(), admin.close()])
  await home.drop()
})

async function indexesOf(name: string): Promise<number> {
  const rows = await admin.query(
    `select indexname from pg_indexes where schemaname = 'security_state' and tablename = $1`,
    [name],
  )
  return rows.length
}

const first = 'search_s0000000000000001'
const second = `search_s${String(segment + 1).padStart(16, '0')}`

test('a step never leaves its segment, goes no further than it is told, nor than the log', async () => {
  expect(await readSearchPosition(state.query, schema)).toBe(0)
  expect(await extendSearch(state.query, schema, 1_000, 500)).toBe(500)
  expect(await extendSearch(state.query, schema, 1_000, 5_000)).toBe(1_000)
  expect(await extendSearch(state.query, schema, 1_000, 5_000)).toBe(1_000)
  expect(await indexSearchTail(state.query, schema, 1_001)).toBe(false)
  expect(await indexSearch(state.query, schema)).toBe(false)
  expect(await extendSearch(state.query, schema, 9_007_199_254_740_991, 1_000_000)).toBe(segment)
  expect(await readSearchPosition(state.query, schema)).toBe(segment)
  // It is full: the follower makes its indexes, as of a segment that does not grow.
  expect(await indexSearchTail(state.query, schema, 1)).toBe(false)
  expect(await indexesOf(first)).toBe(1)
})

test('a follower that finds a full segment without indexes makes them, once, and goes on to the end', async () => {
  const follower = searchFollower(state.query, schema)
  let position = await follower.readPosition()
  // A planner that knows the catalog must not look at the names of other tables first.
  await admin.query('analyze pg_catalog.pg_class')
  await admin.query('analyze pg_catalog.pg_inherits')
  for (let hasWorked = true; hasWorked; ) ({ position, hasWorked } = await follower.step(entries + 1))
  expect(position).toBe(entries)
  expect([await indexesOf(first), await indexesOf(second)]).toEqual([7, 7])
  expect(await indexSearch(state.query, schema)).toBe(false)
  expect(await indexSearchTail(state.query, schema, 1)).toBe(false)
})

test('the search tables hold what the ledger holds', async () => {
  const [row] = await admin.query(
    `select count(*)::int as entries, count(*) filter (where s is distinct from l)::int as differing
     from (select sequence_number, timestamp, actor_id::text, action::text, resource::text, client_ip::text, writer,
             leaf_hash
           from security.audit_logs) l
     full join security_state.search s using (sequence_number)`,
  )
  expect(row).toEqual({ entries, differing: 0 })
})

test('what lies in several segments is found in order, either way, page after page', async () => {
  const want = Array.from({ length: entries }, (_, n) => n).filter((n) => n % 50_000 === 17)
  for (const order of ['asc', 'desc'] as const) {
    const search = {
      conditions: [{ column: 'actor_id', kind: 'equal', text: 'rare' }],
      fromTime: undefined,
      toTime: undefined,
      order,
    } as const
    const found: number[] = []
    for (let rest: { above: number; upTo: number } | undefined = { above: 0, upTo: entries }; rest !== undefined; ) {
      const page = await searchRange(state.query, schema, search, rest, 2, performance.now() + 10_000)
      found.push(...page.numbers)
      rest = page.rest
    }
    const numbers = want.map((n) => n + 1)
    expect(found).toEqual(order === 'asc' ? numbers : numbers.reverse())
  }
})

test('a search that is out of time gives what it found up to then, and the next one the rest', async () => {
  const search = {
    conditions: [{ column: 'resource', kind: 'prefix', text: 'r1310' }],
    fromTime: undefined,
    toTime: undefined,
    order: 'desc',
  } as const
  const all = { above: 0, upTo: entries }
  const page = await searchRange(state.query, schema, search, all, 1_000, performance.now() - 1)
  // r131072 to r131099 are in the second segment, r13100 to r131071 and shorter ones in the first.
  expect(page.numbers).toHaveLength(28)
  expect(page.rest).toEqual({ above: 0, upTo: segment })
  const rest = await searchRange(state.query, schema, search, page.rest ?? all, 1_000, performance.now() + 10_000)
  expect(rest.numbers).toHaveLength(83)
  expect(rest.rest).toBeUndefined()
})
