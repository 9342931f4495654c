import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import type { Hash } from '../../tlog/hash.ts'
import {
  buildConsistencyProof,
  buildInclusionProof,
  consistencyProofFromTiles,
  inclusionProofFromTiles,
  nodesOfRange,
  planConsistencyProof,
  planInclusionProof,
  type TileLookup,
  tilesOfPlan,
} from '../../tlog/proof.ts'
import { formatTilePath, tilesOfSize } from '../../tlog/tile.ts'
import { entriesOf, referenceReader, referenceTree } from './reference-tree.ts'

function readVector<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/merkle/${name}`, import.meta.url), 'utf8')) as T
}

const inclusionGrid = readVector<{ cases: { leafIndex: number; treeSize: number; proof: string[] }[] }>(
  'inclusion-grid.json',
).cases
const consistencyGrid = readVector<{ cases: { size1: number; size2: number; proof: string[] }[] }>(
  'consistency-grid.json',
).cases

const tree = referenceTree(entriesOf(1025))
const reader = referenceReader(tree)
const sizesToCheck = [...Array.from({ length: 130 }, (_, i) => i + 1), 254, 255, 256, 257, 258]
const lookups = new Map<number, Promise<TileLookup>>()

/** All tiles of the tree of one size, read once. */
function lookupOf(size: number): Promise<TileLookup> {
  const known = lookups.get(size) ?? readAllTiles(size)
  lookups.set(size, known)
  return known
}

async function readAllTiles(size: number): Promise<TileLookup> {
  const tiles = new Map<string, Uint8Array>()
  for (const coord of tilesOfSize(asTreeSize(size))) {
    tiles.set(formatTilePath(coord), await reader.readTile(coord.level, coord.index, coord.width))
  }
  return (coord) => tiles.get(formatTilePath(coord)) as Uint8Array
}

describe('an inclusion proof', () => {
  it('is that of the reference for each leaf of each size to 130 and those around 256', async () => {
    for (const size of sizesToCheck) {
      const tileOf = await lookupOf(size)
      for (let index = 0; index < size; index += size > 130 ? 5 : 1) {
        const got = inclusionProofFromTiles(tileOf, asLeafIndex(index), asTreeSize(size), nativeSha256)
        expect(sameHashes(got, tree.path(index, 0, size)), `${index} of ${size}`).toBe(true)
      }
    }
  })

  it('is that of the vector in all 327 cases', async () => {
    for (const { leafIndex, treeSize, proof } of inclusionGrid) {
      const tileOf = await lookupOf(treeSize)
      const got = inclusionProofFromTiles(tileOf, asLeafIndex(leafIndex), asTreeSize(treeSize), nativeSha256)
      expect(got.map(formatHex)).toEqual(proof)
    }
    expect(inclusionGrid).toHaveLength(327)
  })

  it('of a leaf outside the tree is refused', () => {
    expect(() => planInclusionProof(asLeafIndex(5), asTreeSize(5))).toThrow(outOfRange)
    expect(() => planInclusionProof(asLeafIndex(0), asTreeSize(0))).toThrow(outOfRange)
  })

  it('of entry 12345 of 70,000 needs four tiles', () => {
    const plan = planInclusionProof(asLeafIndex(12_345), asTreeSize(70_000))
    expect(plan).toHaveLength(17)
    expect(nodesOfRange(plan[16] ?? { lo: 0, hi: 0 })).toEqual([
      { level: 12, index: 16 },
      { level: 8, index: 272 },
      { level: 6, index: 1092 },
      { level: 5, index: 2186 },
      { level: 4, index: 4374 },
    ])
    const tiles = tilesOfPlan(plan, asTreeSize(70_000)).map(formatTilePath)
    expect(tiles).toEqual(['tile/0/048', 'tile/1/000', 'tile/1/001.p/17', 'tile/0/273.p/112'])
  })

  it('is read from tiles with each read once', async () => {
    const own = referenceReader(tree)
    const got = await buildInclusionProof(own, asLeafIndex(700), asTreeSize(1000))
    expect(got).toEqual(tree.path(700, 0, 1000))
    expect(own.reads.toSorted()).toEqual(['0/2.256', '0/3.232', '1/0.3'])
  })

  it('is refused from a tile of the wrong length', async () => {
    const short = { readTile: async () => new Uint8Array(32) }
    const proof = buildInclusionProof(short, asLeafIndex(2), asTreeSize(5))
    await expect(proof).rejects.toMatchObject({ code: 'malformed-tile' })
  })
})

describe('a consistency proof', () => {
  it('is that of the reference for each two sizes to 130 and those around 256', async () => {
    for (const to of sizesToCheck) {
      const tileOf = await lookupOf(to)
      for (let from = 1; from <= to; from += to > 130 ? 5 : 1) {
        const got = consistencyProofFromTiles(tileOf, asTreeSize(from), asTreeSize(to), nativeSha256)
        expect(sameHashes(got, tree.proof(from, to)), `${from} to ${to}`).toBe(true)
      }
    }
  })

  it('is that of the vector in all 372 cases', async () => {
    for (const { size1, size2, proof } of consistencyGrid) {
      const tileOf = await lookupOf(size2)
      const got = consistencyProofFromTiles(tileOf, asTreeSize(size1), asTreeSize(size2), nativeSha256)
      expect(got.map(formatHex)).toEqual(proof)
    }
    expect(consistencyGrid).toHaveLength(372)
  })

  it('from the empty tree or to a smaller one is refused', () => {
    expect(() => planConsistencyProof(asTreeSize(0), asTreeSize(5))).toThrow(outOfRange)
    expect(() => planConsistencyProof(asTreeSize(0), asTreeSize(0))).toThrow(outOfRange)
    expect(() => planConsistencyProof(asTreeSize(6), asTreeSize(5))).toThrow(outOfRange)
  })

  it('is read from tiles', async () => {
    const got = await buildConsistencyProof(reader, asTreeSize(300), asTreeSize(1000))
    expect(got).toEqual(tree.proof(300, 1000))
  })
})

describe('the plan of a proof', () => {
  const size = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })

  it('covers the whole tree but the leaf, at any size to 2^53-1', () => {
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [index, size] = [Math.min(a, b) - 1, Math.max(a, b)]
        const plan = planInclusionProof(asLeafIndex(index), asTreeSize(size))
        expect(mergeRanges([...plan, { lo: index, hi: index + 1 }])).toEqual([{ lo: 0, hi: size }])
      }),
    )
  })

  it('covers the leaves that were added, at any size to 2^53-1', () => {
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const plan = planConsistencyProof(asTreeSize(from), asTreeSize(to))
        const added = mergeRanges([...plan, { lo: 0, hi: from }].sort((x, y) => x.lo - y.lo))
        expect(added.at(-1)?.hi).toBe(to)
        expect(mergeRanges(plan.filter(({ lo }) => lo >= from))).toEqual(from === to ? [] : [{ lo: from, hi: to }])
      }),
    )
  })

  it('is made of aligned nodes of falling levels', () => {
    fc.assert(
      fc.property(size, size, (a, b) => {
        const plan = planInclusionProof(asLeafIndex(Math.min(a, b) - 1), asTreeSize(Math.max(a, b)))
        for (const range of plan) {
          const nodes = nodesOfRange(range)
          const ranges = nodes.map(({ level, index }) => ({ lo: index * 2 ** level, hi: (index + 1) * 2 ** level }))
          expect(mergeRanges(ranges)).toEqual([range])
          const levels = nodes.map(({ level }) => level)
          expect(levels).toEqual([...new Set(levels)].sort((x, y) => y - x))
        }
      }),
    )
  })
})

const outOfRange = expect.objectContaining({ code: 'out-of-range' })

function sameHashes(got: readonly Hash[], want: readonly Hash[]): boolean {
  return got.map(formatHex).join() === want.map(formatHex).join()
}

/** Joins ranges that touch; overlapping ones stay apart. */
function mergeRanges(ranges: readonly { lo: number; hi: number }[]): { lo: number; hi: number }[] {
  const merged: { lo: number; hi: number }[] = []
  for (const range of ranges.toSorted((a, b) => a.lo - b.lo)) {
    const last = merged.at(-1)
    if (last?.hi === range.lo) last.hi = range.hi
    else merged.push({ ...range })
  }
  return merged
}
