import { beforeEach, describe, expect, test } from 'vitest'
import { TileCache } from '../../src/log/tile-cache.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { appendLeafHashes, emptyEdge, type FullTile } from '../../tlog/tree-edge.ts'

const leafOf = (n: number): Buffer => {
  const leaf = Buffer.alloc(32)
  leaf.writeUInt32BE(n, 28)
  return leaf
}
const leavesOf = (from: number, to: number): Buffer =>
  Buffer.concat(Array.from({ length: to - from }, (_, i) => leafOf(from + i)))

let asked: string[]
let cache: TileCache
/** Answers with leaves by their place; says what it was asked. */
const below: TileReader = {
  readTile: async (level, index, width) => {
    asked.push(`${level}/${index}.${width}`)
    return leavesOf(256 * index, 256 * index + width)
  },
}
beforeEach(() => {
  asked = []
  cache = new TileCache(below, nativeSha256)
})

function add(from: number, to: number, before = emptyEdge): { edge: typeof emptyEdge; fullTiles: readonly FullTile[] } {
  const extended = appendLeafHashes(before, leavesOf(from, to), nativeSha256)
  cache.add(extended.edge, extended.fullTiles)
  return extended
}

describe('the tile cache', () => {
  test('has the tiles that a commit made, full and partial, in every width', async () => {
    add(0, 600)
    for (const [index, width] of [
      [0, 256],
      [0, 1],
      [1, 256],
      [1, 200],
      [2, 88],
      [2, 1],
    ] as const) {
      expect(Buffer.from(await cache.readTile(0, index, width))).toEqual(leavesOf(256 * index, 256 * index + width))
    }
    expect(asked).toEqual([])
  })

  test('has the partial tile of an upper level', async () => {
    const { edge } = add(0, 600)
    expect(await cache.readTile(1, 0, 2)).toEqual(edge.partials[1])
    expect(asked).toEqual([])
  })

  test('asks for what it does not have: wider, other, or older tiles', async () => {
    add(0, 600)
    await cache.readTile(0, 2, 89)
    await cache.readTile(0, 3, 1)
    await cache.readTile(1, 1, 5)
    expect(asked).toEqual(['0/2.89', '0/3.1', '1/1.5'])
  })

  test('answers a narrow tile the same before and after the tree has grown over it', async () => {
    const { edge } = add(0, 300)
    const before = Buffer.from(await cache.readTile(0, 1, 40))
    add(300, 700, edge)
    expect(Buffer.from(await cache.readTile(0, 1, 40))).toEqual(before)
    expect(before).toEqual(leavesOf(256, 296))
    expect(asked).toEqual([])
  })

  test('keeps a full tile that it asked for', async () => {
    await cache.readTile(0, 9, 256)
    await cache.readTile(0, 9, 256)
    await cache.readTile(0, 9, 3)
    expect(asked).toEqual(['0/9.256'])
  })

  test('does not keep a tile whose reading failed', async () => {
    let isBroken = true
    const flaky = new TileCache(
      { readTile: (...tile) => (isBroken ? Promise.reject(new Error('injected')) : below.readTile(...tile)) },
      nativeSha256,
    )
    await expect(flaky.readTile(0, 0, 256)).rejects.toThrow('injected')
    isBroken = false
    expect(await flaky.readTile(0, 0, 256)).toHaveLength(8_192)
  })

  test('is bounded: what was not used for long is asked for again', async () => {
    for (let index = 0; index < 3_000; index++) await cache.readTile(0, index, 256)
    asked = []
    await cache.readTile(0, 2_999, 256)
    expect(asked).toEqual([])
    await cache.readTile(0, 0, 256)
    expect(asked).toEqual(['0/0.256'])
  })
})
