import { beforeEach, describe, expect, test } from 'vitest'
import { ServedTiles } from '../../src/log/served-tiles.ts'
import { TileCache, type TilesBelow } from '../../src/log/tile-cache.ts'
import { TreeProofs } from '../../src/log/tree-proofs.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { tileAtSize, tilesOfSize } from '../../tlog/tile.ts'
import { appendLeafHashes, emptyEdge } from '../../tlog/tree-edge.ts'
import { entriesOf, leafHashesOf, referenceTree } from '../tlog/reference-tree.ts'

const size = 66_000
const tree = referenceTree(entriesOf(size))
const leaves = leafHashesOf(tree, 0, size)
const whole = appendLeafHashes(emptyEdge, leaves, nativeSha256)
const checkpoint = {
  ...{ number: 1, treeSize: size, root: whole.root, timestampMs: 0, note: '' },
  sthSignature: new Uint8Array(0),
  coseSignature: null,
}

function tileOf(level: number, index: number, width: number): Uint8Array {
  const full = whole.fullTiles.find((tile) => tile.level === level && tile.index === index)?.hashes
  return (full ?? (whole.edge.partials[level] as Uint8Array)).slice(0, 32 * width)
}

/** The database's tiles, as they were stored or not. */
let altered: (level: number, index: number, tile: Uint8Array) => void
let asked: string[]
let cache: TileCache
let served: ServedTiles
const below: TilesBelow = {
  readPart: async () => undefined,
  readTile: async (level, index, width) => {
    asked.push(`${level}/${index}.${width}`)
    const tile = tileOf(level, index, width)
    altered(level, index, tile)
    return tile
  },
}
beforeEach(() => {
  altered = () => {}
  open(below)
})

function open(tiles: TilesBelow): void {
  asked = []
  cache = new TileCache(tiles, nativeSha256)
  served = new ServedTiles(cache, new TreeProofs(cache, nativeSha256), nativeSha256)
}

function read(level: number, index: number, width: number): Promise<Uint8Array> {
  return served.read({ level, index, width }, checkpoint)
}

describe('a tile that is handed out', () => {
  test('is the one of the tree, whichever it is', async () => {
    for (const { level, index, width } of tilesOfSize(asTreeSize(size))) {
      if (level === 0 && index % 50 !== 7 && index < 255) continue
      expect(Buffer.from(await read(level, index, width))).toEqual(Buffer.from(tileOf(level, index, width)))
    }
  })

  test.each([
    { at: 'a full tile of leaf hashes', level: 0, index: 5, width: 256 },
    { at: 'the beginning of one', level: 0, index: 5, width: 3 },
    { at: 'the last tile of leaf hashes', level: 0, index: 257, width: 208 },
    { at: 'the full tile above', level: 1, index: 0, width: 256 },
    { at: 'the last tile above', level: 1, index: 1, width: 1 },
    { at: 'the uppermost', level: 2, index: 0, width: 1 },
  ])('$at: is not one of which the database has another byte', async ({ level, index, width }) => {
    expect(width).toBeLessThanOrEqual(tileAtSize(level, index, asTreeSize(size)).width)
    for (const at of [0, 32 * width - 1]) {
      open(below)
      // What is above a tile of leaf hashes is made of those below, and damaged with them.
      altered = (l, i, tile) => {
        if ((l === level && i === index) || (level > l && i === index * 256 ** (level - l))) {
          tile[at % tile.length] = (tile[at % tile.length] as number) ^ 1
        }
      }
      await expect(read(level, index, width)).rejects.toThrow()
    }
  })

  test('is the right one where another tile is damaged', async () => {
    altered = (level, index, tile) => {
      if (level === 0 && index === 5) tile.fill(7)
    }
    expect(Buffer.from(await read(0, 6, 256))).toEqual(Buffer.from(tileOf(0, 6, 256)))
    expect(Buffer.from(await read(1, 0, 256))).toEqual(Buffer.from(tileOf(1, 0, 256)))
  })

  test('is compared once where it is kept, and not where a commit made it or a file has it', async () => {
    await read(0, 6, 256)
    asked = []
    await read(0, 6, 256)
    await read(0, 6, 20)
    expect(asked).toEqual([])
    open({ ...below, readFiled: (level, index) => tileOf(level, index, 256) })
    await read(0, 9, 256)
    await read(0, 9, 12)
    expect(asked).toEqual([])
    open(below)
    cache.add(whole.edge, whole.fullTiles.slice(-3))
    await read(0, 257, 208)
    await read(1, 0, 256)
    expect(asked).toEqual([])
  })
})
