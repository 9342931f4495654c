import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { rangeLeaves } from '../../src/audit/range-nodes.ts'
import { openRangeWork } from '../../src/audit/range-work.ts'
import { signatureReview } from '../../src/audit/signature-review.ts'
import { emptyState, type KnownFinding, type VerifierState } from '../../src/audit/verifier-state.ts'
import { Watch } from '../../src/audit/watch.ts'
import { isSealed } from '../../src/log/seal.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { parseBase64 } from '../../tlog/bytes.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import { openSchemaCheck, tamper, verify } from '../support/audit.ts'
import type { TestDatabase } from '../support/database.ts'
import { asSuperuser, copyOf } from '../support/database-copy.ts'
import { createTestLog, origin, schema, submit, type TestLog } from '../support/log.ts'

// Two full ranges of 65,536 entries and the beginning of a third: the heads between them, and tiles with those above them.

// Each test verifies all of it three times.
vi.setConfig({ testTimeout: 240_000 })

const size = 2 * rangeLeaves + 300
const batch = 8_192
let home: TestLog
let copy: TestDatabase
let remembered: VerifierState

beforeAll(async () => {
  home = await createTestLog()
  const running = await home.start({ batchLimits: { entriesMax: batch, bytesMax: 64_000_000 } })
  const record = { actorId: 'a', action: 'b', resource: 'c', payload: { n: 1 } }
  for (let done = 0; done < size; ) {
    const count = Math.min(batch, size - done)
    await submit(running.log, Array<typeof record>(count).fill(record))
    done += count
  }
  await running.log.waitForCheckpoint(size)
  await running.stop()
  const { findings, state } = await watchAll(home.database, emptyState)
  expect(findings).toEqual([])
  expect(state.base.size).toBe(size - (size % 256))
  remembered = state
  const heads = await asSuperuser(home.database, (client) =>
    client.query(`select from security.tree_heads where tree_size in (${rangeLeaves}, ${2 * rangeLeaves})`),
  )
  expect(heads.rowCount).toBe(2)
}, 240_000)
afterAll(() => home.drop())

beforeEach(async () => {
  copy = await copyOf(home.database)
})
afterEach(() => copy.drop())

/** A probe, and one range more than there are: a round need not begin with the first. */
const stepsOfRound = 5

type Watched = { readonly findings: readonly KnownFinding[]; readonly state: VerifierState }

/** All that a verifier finds that knows what `state` says: new entries, what a probe says, and a whole round. */
async function watchAll(database: TestDatabase, state: VerifierState): Promise<Watched> {
  const login = database.as('verifier_role')
  const [session, work] = [await openReadSession(login), await openRangeWork(login, schema)]
  const findings: KnownFinding[] = []
  const { sealKey, vkey, sthPublicKey } = home.keys
  let kept = state
  const watch = new Watch(state, {
    ...{ session, work, schema, sha256: nativeSha256, nowMs: Date.now },
    isSealed: (head) => isSealed(sealKey, origin, head),
    review: signatureReview(parseVkey(vkey), parseBase64(sthPublicKey)),
    askOutside: async () => ({ known: [], findings: [], notAsked: [] }),
    schemaCheck: await openSchemaCheck(),
    ...{ onNotChecked: () => {}, onRewritten: () => {}, dueMs: () => null, readOthers: async () => undefined },
    save: async (next) => {
      kept = next
    },
    onFinding: async (_, finding) => {
      findings.push(finding)
    },
    timing: { probeMs: 3_600_000, rangeMs: 0, rangeShare: Number.POSITIVE_INFINITY, saveMs: 0 },
  })
  try {
    do await watch.step()
    while (watch.progress.verifiedSize < watch.progress.size)
    for (let i = 0; i < stepsOfRound; i++) await watch.step()
    return { findings, state: kept }
  } finally {
    await Promise.all([session.close(), work.close()])
  }
}

const brief = (findings: readonly Pick<KnownFinding, 'violationType' | 'detail'>[]): string[] =>
  findings.map(({ violationType, detail }) => `${violationType} ${detail.split(/[:,]/)[0]}`).sort()

/** What a whole pass says, a verifier that begins, and one that knows what was there before. */
async function whatIsSaid(): Promise<{ readonly full: string[]; readonly begun: string[]; readonly known: string[] }> {
  const full = brief((await verify(copy, home.keys)).findings)
  const begun = brief((await watchAll(copy, emptyState)).findings)
  const known = brief((await watchAll(copy, { ...remembered, probed: null })).findings)
  return { full, begun, known }
}

const saidByAll = (said: string[]): Awaited<ReturnType<typeof whatIsSaid>> => ({ full: said, begun: said, known: said })

test('a log that nobody touched has no findings, heads where ranges end or not', async () => {
  expect(await whatIsSaid()).toEqual(saidByAll([]))
})

describe.each([
  [rangeLeaves, rangeLeaves + batch],
  [2 * rangeLeaves, size],
])('the head of size %i, where a range ends', (edge, next) => {
  const without = 'set session_replication_role = replica'

  test('is missed by the one behind it where it is deleted', async () => {
    await tamper(copy, `${without}; delete from security.tree_heads where tree_size = ${edge}`)
    expect(await whatIsSaid()).toEqual(saidByAll([`FORGED_HEAD head of size ${next}`]))
  })

  test('is forged where it is altered, and entries are not accused', async () => {
    await tamper(
      copy,
      `${without}; update security.tree_heads set root_hash = sha256('root') where tree_size = ${edge}`,
    )
    const said = [edge, next].map((at) => `FORGED_HEAD head of size ${at}`).sort()
    expect(await whatIsSaid()).toEqual(saidByAll([...said, `ROOT_MISMATCH head of size ${edge}`]))
  })
})

/** One hash in a tile, and what follows from it in the tile above. */
async function alterWithParent(index: number): Promise<void> {
  const [parent, slot] = [Math.floor(index / 256), index % 256]
  await tamper(copy, async (client) => {
    const read = async (level: number, at: number): Promise<Buffer> => {
      const where = 'where level = $1 and tile_index = $2'
      const { rows } = await client.query<{ hashes: Buffer }>(`select hashes from security.tiles ${where}`, [level, at])
      return rows[0]?.hashes ?? Buffer.alloc(0)
    }
    const [leaves, above] = [await read(0, index), await read(1, parent)]
    leaves.fill(7, 32 * 100, 32 * 101)
    above.set(rootOfFullTile(leaves), 32 * slot)
    const change = 'update security.tiles set hashes = $3, mid_roots = null where level = $1 and tile_index = $2'
    await client.query(change, [0, index, leaves])
    await client.query(change, [1, parent, above])
  })
}

describe('a tile and the one above it, altered in agreement', () => {
  // The last ones of their ranges are behind all heads within them, and nobody but the next head decides.
  test.each([9, 255, 511])('are told, and no row: tile %i', async (index) => {
    await alterWithParent(index)
    const tiles = [`tile ${index} of level 0`, `tile ${Math.floor(index / 256)} of level 1`]
    expect(await whatIsSaid()).toEqual(saidByAll(tiles.map((tile) => `TILE_MISMATCH ${tile}`).sort()))
  })
})
