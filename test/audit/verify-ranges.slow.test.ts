import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rangeLeaves } from '../../src/audit/range-nodes.ts'
import { tamper, verify } from '../support/audit.ts'
import { copyOf } from '../support/database-copy.ts'
import { createTestLog, submit, type TestLog } from '../support/log.ts'

// More than one range of 65,536 entries: what joins them, and the tile of level 1 over a full one.

const size = rangeLeaves + 300
let home: TestLog

beforeAll(async () => {
  home = await createTestLog()
  const running = await home.start({ batchLimits: { entriesMax: 8_192, bytesMax: 64_000_000 } })
  const record = { actorId: 'a', action: 'b', resource: 'c', payload: { n: 1 } }
  for (let done = 0; done < size; ) {
    const count = Math.min(8_192, size - done)
    await submit(running.log, Array<typeof record>(count).fill(record))
    done += count
  }
  await running.log.waitForCheckpoint(size)
  await running.stop()
}, 120_000)
afterAll(() => home.drop())

async function findingsAfter(statement: string): Promise<unknown[]> {
  const copy = await copyOf(home.database)
  try {
    await tamper(copy, statement)
    const { findings } = await verify(copy, home.keys)
    return findings.map(({ violationType, sequenceNumber, level, index }) => [
      violationType,
      sequenceNumber ?? [level, index],
    ])
  } finally {
    await copy.drop()
  }
}

test('a log that nobody touched has no findings', async () => {
  expect(await verify(home.database, home.keys)).toMatchObject({
    isSecure: true,
    totalLogsScanned: size,
    treeSize: size,
  })
})

describe('between two ranges', () => {
  test.each([
    ['the last row of the first', rangeLeaves],
    ['the first row of the second', rangeLeaves + 1],
  ])('%s is named where its chain hash was altered, and the link behind it', async (_, n) => {
    expect(
      await findingsAfter(
        `update security.audit_logs set current_hash = repeat('ab', 32) where sequence_number = ${n}`,
      ),
    ).toEqual([
      ['PAYLOAD_CORRUPT', n],
      ['CHAIN_HASH_BROKEN', n + 1],
    ])
  })

  test('a hole over both is one gap', async () => {
    const statement = `delete from security.audit_logs where sequence_number between ${rangeLeaves - 5} and ${rangeLeaves + 5}`
    expect(await findingsAfter(statement)).toEqual([['GAP_IN_SEQUENCE', rangeLeaves - 5]])
  })

  test('a time that goes back is named', async () => {
    const statement = `update security.audit_logs set timestamp = '2020-01-01' where sequence_number = ${rangeLeaves + 1}`
    expect(await findingsAfter(statement)).toEqual([
      ['LEAF_MISMATCH', rangeLeaves + 1],
      ['CLOCK_BACKWARDS', rangeLeaves + 1],
    ])
  })
})

describe('a full range', () => {
  const flipped = `overlay(hashes placing '\\x00112233' from 65)`

  test('has a tile of level 1 that is named where it was altered', async () => {
    const statement = `update security.tiles set hashes = ${flipped} where level = 1`
    expect(await findingsAfter(statement)).toEqual([['TILE_MISMATCH', [1, 0]]])
  })

  test('has a tile of level 1 that is missed', async () => {
    expect(await findingsAfter('delete from security.tiles where level = 1')).toEqual([['TILE_MISMATCH', [1, 0]]])
  })

  test('without that tile still tells an altered row from an altered tile', async () => {
    const row = `update security.audit_logs set writer = 'x' where sequence_number = 1000`
    const tile = `update security.tiles set hashes = ${flipped} where level = 0 and tile_index = 9`
    expect(await findingsAfter(`delete from security.tiles where level = 1; ${row}`)).toEqual([
      ['LEAF_MISMATCH', 1000],
      ['TILE_MISMATCH', [1, 0]],
    ])
    expect(await findingsAfter(tile)).toEqual([['TILE_MISMATCH', [0, 9]]])
  })

  test('without any row is one gap, and the rest is as it was', async () => {
    expect(await findingsAfter(`delete from security.audit_logs where sequence_number <= ${rangeLeaves}`)).toEqual([
      ['GENESIS_TAMPER', 1],
      ['GAP_IN_SEQUENCE', 1],
    ])
  })
})
