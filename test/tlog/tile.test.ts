import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import {
  checkTileLength,
  formatBundlePath,
  formatTilePath,
  isTileOfSize,
  parseTilePath,
  type TileCoord,
  tileAtSize,
  tilesBetween,
  tilesOfSize,
} from '../../tlog/tile.ts'

function readVector<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/tiles/${name}`, import.meta.url), 'utf8')) as T
}

type SizeCase = { treeSize: number; tiles: { path: string; level: number; n: number; width: number; bytes: number }[] }
const paths = readVector<{
  valid: { n: string; encoded: string }[]
  tilePaths: { level: number | 'entries'; n: string; width: number; path: string }[]
  invalid: string[]
}>('paths.json')
const { sizes } = readVector<{ sizes: SizeCase[] }>('sizes.json')
const growth = readVector<{ cases: { from: number; to: number; newTiles: string[] }[] }>('growth.json')

const isSafe = ({ n }: { n: string }): boolean => Number.isSafeInteger(Number(n))
const index = fc.oneof(fc.nat(2000), fc.maxSafeNat())
const width = fc.integer({ min: 1, max: 256 })
const size = fc.oneof(fc.nat(70_000), fc.maxSafeNat()).map(asTreeSize)

describe('a tile path', () => {
  it.each(paths.valid.filter(isSafe))('of index $n ends in $encoded', ({ n, encoded }) => {
    const path = `tile/7/${encoded}`
    expect(formatTilePath({ level: 7, index: Number(n), width: 256 })).toBe(path)
    expect(parseTilePath(path)).toEqual({ kind: 'tile', level: 7, index: Number(n), width: 256 })
  })

  it.each(paths.valid.filter((c) => !isSafe(c)))('of index $n, above 2^53-1, is out of range', ({ encoded }) => {
    expect(() => parseTilePath(`tile/0/${encoded}`)).toThrow(expect.objectContaining({ code: 'out-of-range' }))
  })

  it.each(paths.tilePaths.filter(isSafe))('$path is read and written', ({ level, n, width, path }) => {
    const place = { index: Number(n), width }
    const isBundle = level === 'entries'
    expect(parseTilePath(path)).toEqual(isBundle ? { kind: level, ...place } : { kind: 'tile', level, ...place })
    expect(isBundle ? formatBundlePath(place) : formatTilePath({ level, ...place })).toBe(path)
  })

  it.each(paths.invalid.map((path) => ({ path })))('$path is refused', ({ path }) => {
    expect(() => parseTilePath(path)).toThrow(expect.objectContaining({ name: 'TlogError' }))
  })

  it('that was written is read back as it was', () => {
    fc.assert(
      fc.property(fc.nat(63), index, width, (level, index, width) => {
        expect(parseTilePath(formatTilePath({ level, index, width }))).toEqual({ kind: 'tile', level, index, width })
        expect(parseTilePath(formatBundlePath({ index, width }))).toEqual({ kind: 'entries', index, width })
      }),
    )
  })

  it('that can be read is written the same', () => {
    const group = fc.constantFrom('000/', 'x000/', 'x001/', '001', '999', 'x01/', '00')
    const start = fc.constantFrom('tile/0/', 'tile/63/', 'tile/64/', 'tile/00/', 'tile/entries/', '/tile/0/')
    const end = fc.constantFrom('', '.p/1', '.p/255', '.p/256', '.p/01', '.p/0', '\n', '/')
    const text = fc.tuple(start, fc.array(group, { minLength: 1, maxLength: 4 }), end)
    fc.assert(
      fc.property(text, ([start, groups, end]) => {
        const path = `${start}${groups.join('')}${end}`
        const coord = parseOrUndefined(path)
        if (coord === undefined) return
        expect(coord.kind === 'tile' ? formatTilePath(coord) : formatBundlePath(coord)).toBe(path)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('the tiles of a tree', () => {
  it.each(sizes)('of $treeSize leaves are those of the vector', ({ treeSize, tiles }) => {
    const listed = (tile: TileCoord): boolean => treeSize <= 1000 || tile.level > 0 || tile.width < 256
    const got = [...tilesOfSize(asTreeSize(treeSize))].filter(listed)
    expect(got).toEqual(tiles.map(({ level, n, width }) => ({ level, index: n, width })))
    expect(got.map(formatTilePath)).toEqual(tiles.map(({ path }) => path))
    for (const tile of tiles) {
      checkTileLength({ level: tile.level, index: tile.n, width: tile.width }, new Uint8Array(tile.bytes))
    }
  })

  it.each(growth.cases)('that appear between $from and $to are those of the vector', ({ from, to, newTiles }) => {
    expect([...tilesBetween(asTreeSize(from), asTreeSize(to))].map(formatTilePath)).toEqual(newTiles)
  })

  it('that appear between two sizes are the difference of the two trees', () => {
    const small = fc.nat(70_000).map(asTreeSize)
    fc.assert(
      fc.property(small, small, (a, b) => {
        const [from, to] = a < b ? [a, b] : [b, a]
        const had = new Set([...tilesOfSize(from)].map(formatTilePath))
        const want = [...tilesOfSize(to)].map(formatTilePath).filter((path) => !had.has(path))
        expect([...tilesBetween(from, to)].map(formatTilePath)).toEqual(want)
      }),
      { numRuns: 30 },
    )
  })

  it('are found within it at any size, and one slot more never is', () => {
    fc.assert(
      fc.property(size, fc.nat(7), (size, level) => {
        const last = Math.floor(size / 256 ** level / 256)
        const tile = coordOrUndefined(level, last, size)
        if (tile === undefined) return
        expect(isTileOfSize(tile, size)).toBe(true)
        expect(isTileOfSize({ ...tile, width: tile.width + 1 }, size)).toBe(false)
        expect(isTileOfSize({ ...tile, index: last + 1, width: 1 }, size)).toBe(false)
      }),
    )
  })

  it('do not include an index beyond its end', () => {
    expect(tileAtSize(0, 273, asTreeSize(70_000))).toEqual({ level: 0, index: 273, width: 112 })
    expect(() => tileAtSize(0, 274, asTreeSize(70_000))).toThrow(/has none/)
    expect(isTileOfSize({ level: 63, index: 0, width: 1 }, asTreeSize(2 ** 53 - 1))).toBe(false)
    expect(isTileOfSize({ level: 0, index: 2 ** 53 - 1, width: 1 }, asTreeSize(2 ** 53 - 1))).toBe(false)
  })

  it('of the wrong length are refused', () => {
    expect(() => checkTileLength({ level: 0, index: 1, width: 5 }, new Uint8Array(159))).toThrow(
      'tile/0/001.p/5: got 159 bytes, want 160',
    )
  })
})

function parseOrUndefined(path: string): ReturnType<typeof parseTilePath> | undefined {
  try {
    return parseTilePath(path)
  } catch {
    return undefined
  }
}

function coordOrUndefined(level: number, index: number, size: TreeSize): TileCoord | undefined {
  try {
    return tileAtSize(level, index, size)
  } catch {
    return undefined
  }
}
