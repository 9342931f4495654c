import { beforeEach, describe, expect, test } from 'vitest'
import { LeafScan } from '../../src/log/leaf-scan.ts'
import { TileCache } from '../../src/log/tile-cache.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'

const size = 20_100
const leafOf = (n: number): Buffer => {
  const leaf = Buffer.alloc(32)
  leaf.writeUInt32BE(n + 1, 28)
  return leaf
}
/** Twice the same, as in the tree of a log that takes bytes. */
const twin = 15_000
const leaves = Buffer.concat(Array.from({ length: size }, (_, n) => leafOf(n === twin ? 14_000 : n)))

let reads: number
let fail: boolean
let scan: LeafScan
beforeEach(() => {
  reads = 0
  fail = false
  const readTile = async (_: number, index: number, width: number): Promise<Uint8Array> => {
    reads++
    if (fail) throw new Error('away')
    return leaves.subarray(8_192 * index, 8_192 * index + 32 * width)
  }
  scan = new LeafScan(new TileCache({ readTile, readPart: async () => undefined }, nativeSha256))
})

describe('a look for a leaf hash', () => {
  test.each([0, 1, 255, 256, 8_191, 8_192, 12_345, size - 1])('finds leaf %i', async (index) => {
    for (const from of new Set([0, Math.max(0, index - 300), index])) {
      expect(await scan.find(leafOf(index), from, size)).toBe(index)
    }
  })

  test('finds the lowest of several, none below the range and none above it', async () => {
    expect(await scan.find(leafOf(14_000), 0, size)).toBe(14_000)
    expect(await scan.find(leafOf(14_000), 14_001, size)).toBe(twin)
    expect(await scan.find(leafOf(14_000), 14_001, twin)).toBeUndefined()
    expect(await scan.find(leafOf(300), 301, size)).toBeUndefined()
    expect(await scan.find(leafOf(300), 0, 300)).toBeUndefined()
  })

  test('does not take for a leaf what lies across two', async () => {
    const across = leaves.subarray(32 * 700 + 16, 32 * 701 + 16)
    expect(await scan.find(across, 0, size)).toBeUndefined()
  })

  test('is one of few that wait, and of no more leaves than can be looked through soon', async () => {
    const looks = await Promise.allSettled(Array.from({ length: 40 }, () => scan.find(leafOf(size), 0, size)))
    expect(looks.filter(({ status }) => status === 'fulfilled')).toHaveLength(16)
    const [refused] = looks.filter(({ status }) => status === 'rejected')
    expect(refused).toMatchObject({ reason: { name: 'Unavailable', retryAfterSeconds: 1 } })
    const before = reads
    await expect(scan.find(leafOf(1), 0, 2_000_000)).rejects.toThrow('known by their hash up to 0 so far')
    expect(reads).toBe(before)
  })

  test('that failed keeps nobody waiting', async () => {
    fail = true
    await expect(scan.find(leafOf(9_999), 0, size)).rejects.toThrow('away')
    fail = false
    expect(await scan.find(leafOf(9_999), 0, size)).toBe(9_999)
  })
})
