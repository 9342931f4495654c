import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { concatBytes, formatHex } from '../../tlog/bytes.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { emptyRoot, type Hash, leafHash, nobleSha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { formatTilePath, tilesOfSize } from '../../tlog/tile.ts'
import { rootOfSlots } from '../../tlog/tile-nodes.ts'
import {
  appendLeafHashes,
  checkEdge,
  edgeFromPartials,
  edgeFromTiles,
  emptyEdge,
  type FullTile,
  type TreeEdge,
} from '../../tlog/tree-edge.ts'
import { corrupted, entriesOf, entryOf, leafHashesOf, referenceReader, referenceTree } from './reference-tree.ts'

function readVector<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8')) as T
}

type TileVector = { path: string; level: number; n: number; width: number; sha256: string }
const large = readVector<{ roots: Record<string, string> }>('merkle/roots-large.json')
const tree70000 = readVector<{ rootHash: string; tiles: TileVector[] }>('tiles/tree-70000.json')
const { sizes } = readVector<{ sizes: { treeSize: number; rootHash: string; tiles: TileVector[] }[] }>(
  'tiles/sizes.json',
)

const leafCount = 100_000
const leafHashes = new Uint8Array(32 * leafCount)

beforeAll(() => {
  for (let i = 0; i < leafCount; i++) leafHashes.set(leafHash(entryOf(i), nativeSha256), 32 * i)
})

/** A log in memory, grown in steps to the given sizes. */
type Grown = { edge: TreeEdge; root: Hash; fullTiles: FullTile[] }
function grow(stops: readonly number[], hash = nativeSha256): Grown {
  let grown: Grown = { edge: emptyEdge, root: emptyRoot, fullTiles: [] }
  for (const stop of stops) {
    const batch = leafHashes.subarray(32 * grown.edge.size, 32 * stop)
    const { edge, root, fullTiles } = appendLeafHashes(grown.edge, batch, hash)
    grown = { edge, root, fullTiles: [...grown.fullTiles, ...fullTiles] }
  }
  return grown
}

/** Full tiles as stored, and of the partial ones only that of the leaf hashes. */
function storedTiles({ edge, fullTiles }: Grown): TileReader {
  const full = new Map(fullTiles.map(({ level, index, hashes }) => [`${level}/${index}`, hashes]))
  return {
    readTile: async (level, index, width) => {
      const tile = full.get(`${level}/${index}`) ?? (level === 0 ? edge.partials[0] : undefined)
      if (tile?.length !== 32 * width) throw new Error(`no tile ${level}/${index} of ${width}`)
      return tile
    },
  }
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function tileOf({ edge, fullTiles }: Grown, level: number, index: number, width: number): Uint8Array | undefined {
  if (width < 256) return edge.partials[level]
  return fullTiles.find((tile) => tile.level === level && tile.index === index)?.hashes
}

describe('appending to an edge', () => {
  it('gives the root of the reference for each size to 130 and those around 256, one leaf at a time', () => {
    const tree = referenceTree(entriesOf(260))
    let edge = emptyEdge
    for (let size = 1; size <= 260; size++) {
      const step = appendLeafHashes(edge, leafHashes.subarray(32 * (size - 1), 32 * size))
      edge = step.edge
      if (size <= 130 || size >= 254) {
        expect(step.root).toEqual(tree.root(0, size))
        checkEdge(edge, step.root)
      }
      expect(step.fullTiles.map(({ level, index }) => [level, index])).toEqual(size === 256 ? [[0, 0]] : [])
    }
  })

  it.each(Object.entries(large.roots))('gives the root of the vector for %s leaves', (size, root) => {
    const grown = grow([1, 300, 16_684, 33_068, 49_452, 65_000, 65_001, Number(size)])
    expect(formatHex(grown.root)).toBe(root)
    checkEdge(grown.edge, grown.root, nativeSha256)
  })

  it('gives all 277 tiles of the vector of 70,000 leaves', () => {
    const grown = grow([70_000])
    expect(formatHex(grown.root)).toBe(tree70000.rootHash)
    const got = tree70000.tiles.map(({ level, n, width }) => tileOf(grown, level, n, width) as Uint8Array)
    expect(got.map(sha256Hex)).toEqual(tree70000.tiles.map(({ sha256 }) => sha256))
    expect([...tilesOfSize(asTreeSize(70_000))].map(formatTilePath).sort()).toEqual(
      tree70000.tiles.map(({ path }) => path).sort(),
    )
    expect(grown.fullTiles).toHaveLength(274)
  })

  it('gives each full tile the roots of every 16 of its slots, whatever was there before', () => {
    for (const stops of [[70_000], [5, 250, 261, 600], [240, 255, 256, 272, 65_530, 66_000]]) {
      for (const { hashes, midRoots } of grow(stops, nativeSha256).fullTiles) {
        const want = Array.from({ length: 16 }, (_, i) => rootOfSlots(hashes, 16 * i, 16 * (i + 1), nativeSha256))
        expect(Buffer.from(midRoots)).toEqual(Buffer.concat(want))
      }
    }
  })

  it.each(sizes)('gives root and tiles of the vector of $treeSize leaves', ({ treeSize, rootHash, tiles }) => {
    const grown = grow([Math.floor(treeSize / 3), treeSize])
    expect(formatHex(grown.root)).toBe(rootHash)
    for (const { level, n, width, sha256 } of tiles) {
      expect(sha256Hex(tileOf(grown, level, n, width) as Uint8Array)).toBe(sha256)
    }
  })

  it('gives the same however the leaves are cut into batches, with both hashes', () => {
    const stops = fc.array(fc.nat(1500), { maxLength: 5 })
    fc.assert(
      fc.property(stops, fc.constantFrom(nativeSha256, nobleSha256), (stops, hash) => {
        const sorted = stops.sort((a, b) => a - b)
        const last = sorted.at(-1) ?? 0
        const byLevel = (a: FullTile, b: FullTile): number => a.level - b.level || a.index - b.index
        const { edge, root, fullTiles } = grow(sorted, hash)
        expect({ edge, root, fullTiles: fullTiles.sort(byLevel) }).toEqual(grow([last]))
      }),
      { numRuns: 20 },
    )
  })

  it('costs one hash a new inner node and those of the root', () => {
    let count = 0
    appendLeafHashes(emptyEdge, leafHashes.subarray(0, 32 * 16_384), (...args) => {
      count++
      nativeSha256(...args)
    })
    expect(count).toBe(16_383)
  })

  it('does not change the old edge, nor keep the bytes that it was given', () => {
    const { edge } = grow([300])
    const before = structuredClone(edge)
    const batch = leafHashes.slice(32 * 300, 32 * 700)
    const first = appendLeafHashes(edge, batch, nativeSha256)
    expect(edge).toEqual(before)
    const kept = structuredClone(first)
    batch.fill(0)
    expect(first).toEqual(kept)
  })

  it('of no leaves changes nothing', () => {
    for (const size of [0, 300]) {
      const { edge, root } = grow([size])
      expect(appendLeafHashes(edge, new Uint8Array(0))).toEqual({ edge, root, fullTiles: [] })
    }
  })

  it('refuses half a hash and a frontier of another size', () => {
    const code = expect.objectContaining({ code: 'malformed-range' })
    expect(() => appendLeafHashes(emptyEdge, new Uint8Array(33))).toThrow(code)
    const { edge } = grow([3])
    expect(() => appendLeafHashes({ ...edge, size: asTreeSize(4) }, new Uint8Array(32))).toThrow(code)
  })
})

describe('checking an edge', () => {
  it('finds each corrupted hash of it', () => {
    const { edge, root } = grow([66_309])
    const mismatch = expect.objectContaining({ code: 'root-mismatch' })
    checkEdge(edge, root, nativeSha256)
    for (let at = 17; at < edge.frontier.length; at += 32) {
      const bad = { ...edge, frontier: corrupted(edge.frontier, at) }
      expect(() => checkEdge(bad, root, nativeSha256)).toThrow(mismatch)
    }
    for (const [level, partial] of edge.partials.entries()) {
      for (let at = 17; at < partial.length; at += 32) {
        const bad = { ...edge, partials: edge.partials.with(level, corrupted(partial, at)) }
        expect(() => checkEdge(bad, root, nativeSha256)).toThrow(mismatch)
      }
    }
    expect(() => checkEdge(edge, corrupted(root) as Hash, nativeSha256)).toThrow(mismatch)
  })

  it('finds corrupted partial tiles even where the frontier was made from them', () => {
    const { edge, root } = grow([300])
    const forged = edgeFromPartials(edge.size, edge.partials.with(0, corrupted(edge.partials[0] as Uint8Array)))
    expect(() => checkEdge(forged, root)).toThrow(expect.objectContaining({ code: 'root-mismatch' }))
  })

  it('refuses partial tiles of other shapes', () => {
    const { edge, root } = grow([300])
    const [leaves, upper] = edge.partials as [Uint8Array, Uint8Array]
    const shapes = [[], [leaves], [upper, leaves], [leaves.subarray(32), upper], [leaves, upper, new Uint8Array(0)]]
    for (const partials of shapes) {
      expect(() => checkEdge({ ...edge, partials }, root)).toThrow(expect.objectContaining({ code: 'malformed-tile' }))
    }
  })

  it('of the empty tree holds for the empty root alone', () => {
    checkEdge(emptyEdge, emptyRoot)
    const code = expect.objectContaining({ code: 'root-mismatch' })
    expect(() => checkEdge(emptyEdge, leafHash(entryOf(0)))).toThrow(code)
  })
})

describe('rebuilding an edge from stored tiles', () => {
  it.each([0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000])('of %i leaves', async (size) => {
    const grown = grow([size])
    const edge = await edgeFromTiles(storedTiles(grown), asTreeSize(size), nativeSha256)
    expect(edge).toEqual(grown.edge)
    checkEdge(edge, grown.root, nativeSha256)
  })

  it('refuses tiles that are short', async () => {
    const short: TileReader = { readTile: async (_level, _index, width) => new Uint8Array(32 * width - 1) }
    const code = { code: 'malformed-tile' }
    await expect(edgeFromTiles(short, asTreeSize(5))).rejects.toMatchObject(code)
    await expect(edgeFromTiles(short, asTreeSize(256))).rejects.toMatchObject(code)
  })

  it('agrees with tiles made straight from the definition', async () => {
    const tree = referenceTree(entriesOf(700))
    const edge = await edgeFromTiles(referenceReader(tree), asTreeSize(700))
    expect(edge.partials).toEqual([leafHashesOf(tree, 512, 700), concatBytes(tree.root(0, 256), tree.root(256, 512))])
    checkEdge(edge, tree.root(0, 700))
  })
})
