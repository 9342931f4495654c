import { describe, expect, test } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { compareTrees, readRoot, type TreeComparison } from '../../tlog/bisect.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { digest, type Hash } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { appendLeafHashes, emptyEdge } from '../../tlog/tree-edge.ts'
import { entriesOf, referenceTree } from './reference-tree.ts'

type Tree = TileReader & { readonly root: Hash; readonly tiles: Map<string, Uint8Array>; reads: number }

function leavesOf(size: number): Uint8Array {
  const leaves = new Uint8Array(32 * size)
  const view = new DataView(leaves.buffer)
  for (let i = 0; i < size; i++) view.setUint32(32 * i, i + 1)
  return leaves
}

/** All tiles of a tree of these leaf hashes, in memory. */
function treeOf(leaves: Uint8Array): Tree {
  const { edge, root, fullTiles } = appendLeafHashes(emptyEdge, leaves, nativeSha256)
  const tiles = new Map(fullTiles.map(({ level, index, hashes }) => [`${level}/${index}`, hashes]))
  for (const [level, partial] of edge.partials.entries()) {
    const slots = Math.floor(edge.size / tileWidth ** level)
    tiles.set(`${level}/${Math.floor(slots / tileWidth)}`, partial)
  }
  return {
    root,
    tiles,
    reads: 0,
    async readTile(level, index, width) {
      this.reads++
      const tile = tiles.get(`${level}/${index}`)
      if (tile === undefined) throw new RangeError('no tile')
      return tile.subarray(0, 32 * width)
    },
  }
}

/** The same leaves, these altered. */
function alter(leaves: Uint8Array, indexes: readonly number[]): Uint8Array {
  const altered = leaves.slice()
  for (const index of indexes) altered[32 * index + 31] = 0xff
  return altered
}

const compare = (one: Tree, other: Tree, size: number, max = 1_000): Promise<TreeComparison> =>
  compareTrees(one, other, asTreeSize(size), max, nativeSha256)

const indexes = ({ leaves }: TreeComparison): number[] => leaves.map(({ index }) => index)

describe('two copies', () => {
  test.each([0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792])(
    'of %i leaves differ in nothing, in the first leaf or in the last',
    async (size) => {
      const leaves = leavesOf(size)
      const tree = treeOf(leaves)
      expect(await compare(tree, treeOf(leaves), size)).toMatchObject({ leaves: [], misfits: [], isCut: false })
      for (const index of size === 0 ? [] : [0, size - 1]) {
        const result = await compare(tree, treeOf(alter(leaves, [index])), size)
        expect(indexes(result)).toEqual([index])
        expect(result.misfits).toEqual([])
      }
    },
  )

  const size = 300_000
  const levels = 3
  const leaves = leavesOf(size)

  test.each([1, 3, 10, 100])(
    'of 300,000 leaves with %i altered ones are compared by as many tiles a level',
    async (k) => {
      const altered = Array.from({ length: k }, (_, i) => (i * 2_999_999) % size).sort((a, b) => a - b)
      const [one, other] = [treeOf(leaves), treeOf(alter(leaves, altered))]
      const result = await compare(one, other, size)
      expect(indexes(result)).toEqual(altered)
      expect(result.leaves[0]?.first).toEqual(leaves.subarray(32 * (altered[0] ?? 0), 32 * (altered[0] ?? 0) + 32))
      expect([one.reads, other.reads]).toEqual([result.reads, result.reads])
      expect(result.reads).toBeLessThanOrEqual((k + 1) * levels)
    },
  )

  test('that are equal are compared by the last tile of each level', async () => {
    expect((await compare(treeOf(leaves), treeOf(leaves), size)).reads).toBe(levels)
  })

  test('of which one is longer are compared as far as both go', async () => {
    const result = await compare(treeOf(leaves), treeOf(alter(leavesOf(300_100), [17, 300_050])), size)
    expect(indexes(result)).toEqual([17])
  })

  test('that differ in everything are not told leaf by leaf without an end', async () => {
    const other = leaves.map((byte) => byte ^ 0xff)
    const result = await compare(treeOf(leaves), treeOf(other), size, 300)
    expect(result).toMatchObject({ isCut: true })
    expect(indexes(result)).toEqual(Array.from({ length: 300 }, (_, i) => i))
    expect(result.reads).toBeLessThan(100)
  })

  test('of which one has a tile that is not of its tree are not compared below that', async () => {
    const [one, other] = [treeOf(leaves), treeOf(alter(leaves, [1_000, 70_000]))]
    other.tiles.get('0/3')?.fill(1)
    const result = await compare(one, other, size)
    expect(indexes(result)).toEqual([70_000])
    expect(result.misfits).toEqual([{ copy: 'second', level: 0, index: 3, problem: 'misfit' }])
  })

  test('of which one lacks a tile, or has it cut, are not compared below that', async () => {
    const [one, other] = [treeOf(leaves), treeOf(alter(leaves, [1_000, 70_000]))]
    one.tiles.delete('1/0')
    other.tiles.set('1/1', new Uint8Array(32))
    const result = await compare(one, other, size)
    expect(result.leaves).toEqual([])
    expect(result.misfits).toEqual([
      { copy: 'first', level: 1, index: 0, problem: 'missing' },
      { copy: 'second', level: 1, index: 1, problem: 'misfit' },
    ])
  })

  test('of which one cannot be read reject', async () => {
    const away: TileReader = { readTile: () => Promise.reject(new Error('away')) }
    await expect(compareTrees(treeOf(leaves), away, asTreeSize(size), 1)).rejects.toThrow('away')
  })
})

test('the root of each size is made of the last tile of each level', async () => {
  const entries = entriesOf(600)
  const reference = referenceTree(entries)
  const hashes = Buffer.concat(entries.map((_, i) => reference.root(i, i + 1)))
  const tree = treeOf(hashes)
  for (const size of [0, 1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 600]) {
    expect(await readRoot(tree, asTreeSize(size))).toEqual(
      size === 0 ? digest(new Uint8Array(0)) : reference.root(0, size),
    )
  }
})
