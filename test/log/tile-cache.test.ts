import { beforeEach, describe, expect, test } from 'vitest'
import { TileCache, type TilesBelow } from '../../src/log/tile-cache.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { buildPyramid } from '../../tlog/tile-nodes.ts'
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
const below: TilesBelow = {
  readPart: async (level, index, group) => {
    asked.push(`${level}/${index}#${group}`)
    return undefined
  },
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
      { ...below, readTile: (...tile) => (isBroken ? Promise.reject(new Error('injected')) : below.readTile(...tile)) },
      nativeSha256,
    )
    await expect(flaky.readTile(0, 0, 256)).rejects.toThrow('injected')
    isBroken = false
    expect(await flaky.readTile(0, 0, 256)).toHaveLength(8_192)
  })

  test('asks once for what several want at the same time', async () => {
    await Promise.all([cache.readTile(0, 5, 256), cache.readTile(0, 5, 256), cache.readPyramid(0, 5, 256)])
    expect(asked).toEqual(['0/5.256'])
  })

  test('gives a part of a tile that it does not keep, and all of one that it keeps or that has no parts', async () => {
    const parts = { group: 3, midRoots: leavesOf(0, 16), slots: leavesOf(48, 64) }
    const withParts = new TileCache({ ...below, readPart: async () => parts }, nativeSha256)
    expect(await withParts.readPart(0, 1, 3)).toBe(parts)
    await withParts.readTile(0, 1, 256)
    expect(withParts.readPart(0, 1, 3)).toEqual(buildPyramid(leavesOf(256, 512), nativeSha256))
    expect(await cache.readPart(0, 2, 3)).toEqual(buildPyramid(leavesOf(512, 768), nativeSha256))
    expect(asked).toEqual(['0/1.256', '0/2#3', '0/2.256'])
  })

  test('reads of leaves do not push out the tiles above them', async () => {
    await cache.readTile(1, 0, 256)
    for (let index = 0; index < 3_000; index++) await cache.readTile(0, index, 256)
    asked = []
    await cache.readTile(1, 0, 256)
    expect(asked).toEqual([])
  })

  test('is bounded: what was not used for long is asked for again', async () => {
    for (let index = 0; index < 3_000; index++) await cache.readTile(0, index, 256)
    asked = []
    await cache.readTile(0, 2_999, 256)
    expect(asked).toEqual([])
    await cache.readTile(0, 0, 256)
    expect(asked).toEqual(['0/0.256'])
  })

  test('takes full tiles that are filed from there, keeps none of them, and asks below for the others', async () => {
    const filed: TilesBelow = { ...below, readFiled: (_, index) => (index === 3 ? leavesOf(768, 1_024) : undefined) }
    cache = new TileCache(filed, nativeSha256)
    expect(Buffer.from(await cache.readTile(0, 3, 256))).toEqual(leavesOf(768, 1_024))
    expect((await cache.readPyramid(0, 3, 256))[0]).toEqual(leavesOf(768, 1_024))
    expect(asked).toEqual([])
    await cache.readTile(0, 3, 255)
    await cache.readTile(0, 4, 256)
    await cache.readTile(0, 3, 100)
    expect(asked).toEqual(['0/4.256'])
  })
})
