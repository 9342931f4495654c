import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRoots } from '../../src/log/node-reads.ts'
import { TileCache, type TilesBelow } from '../../src/log/tile-cache.ts'
import { openTilesBelow } from '../../src/log/tiles-below.ts'
import { TreeProofs } from '../../src/log/tree-proofs.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import type { Hash } from '../../tlog/hash.ts'
import { planConsistencyProof, planInclusionProof } from '../../tlog/proof.ts'
import { appendLeafHashes, emptyEdge } from '../../tlog/tree-edge.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { schema } from '../support/log.ts'
import { entriesOf, leafHashesOf, referenceTree } from '../tlog/reference-tree.ts'

const size = 70_000
const tree = referenceTree(entriesOf(size))
const leaves = leafHashesOf(tree, 0, size)
const { edge, root, fullTiles } = appendLeafHashes(emptyEdge, leaves, nativeSha256)
const checkpoint = {
  number: 1,
  treeSize: size,
  root,
  timestampMs: 0,
  note: '',
  sthSignature: new Uint8Array(0),
  coseSignature: null,
}
/** Stored before there were mid roots. */
const oldTile = 9
const lostTile = 11

let database: TestDatabase
let admin: Pool
let reader: Pool
let asked: string[]
let cache: TileCache

beforeAll(async () => {
  database = await makeDatabase()
  admin = openPool(database.admin, 1, 10_000)
  reader = openPool(database.as('auditor_reader_role'), 3, 10_000)
  for (const { level, index, hashes, midRoots } of fullTiles) {
    if (level === 0 && index === lostTile) continue
    await admin.query(
      `insert into security.tiles (level, tile_index, hashes, mid_roots)
       values ($1, $2, $3, $4)`,
      [level, index, hashes, level === 0 && index === oldTile ? null : midRoots],
    )
  }
}, 60_000)
afterAll(async () => {
  await Promise.all([admin.close(), reader.close()])
  await database.drop()
})

/** One bit of the last hash is another. */
function flipped(bytes: Uint8Array, isWanted: boolean): Uint8Array {
  const out = Uint8Array.from(bytes)
  const last = out.length - 1
  if (isWanted) out[last] = (out[last] ?? 0) ^ 1
  return out
}

const hex = (hashes: readonly Uint8Array[]): readonly string[] => hashes.map(formatHex)

/** A cache that has only the edge of the tree; it says what it asks the database for. */
function openCache(): void {
  asked = []
  const stored = openTilesBelow(reader, schema, nativeSha256)
  const below: TilesBelow = {
    readTile: (...tile) => {
      asked.push(`tile ${tile.join('/')}`)
      return stored.readTile(...tile)
    },
    readPart: (...part) => {
      asked.push(`part ${part.join('/')}`)
      return stored.readPart(...part)
    },
  }
  cache = new TileCache(below, nativeSha256)
  cache.add(edge, [])
}

describe('proofs from the database', () => {
  test('of leaves take one part of the tile of each, and the tile above once', async () => {
    openCache()
    const proofs = new TreeProofs(cache, nativeSha256)
    await proofs.prove(asLeafIndex(65_300), checkpoint)
    await proofs.prove(asLeafIndex(300), checkpoint)
    // The first leaf's part is what the tile above was checked by.
    expect(asked.sort()).toEqual(['part 0/0/0', 'part 0/1/2', 'part 0/255/1', 'tile 1/0/256'])
  })

  test('of any leaf under the checkpoint are those of the reference, and what is above is read once', async () => {
    openCache()
    const proofs = new TreeProofs(cache, nativeSha256)
    const indexes = [0, 15, 16, 255, 256, 40_000, 65_535, 65_536, 69_999].filter((i) => i >> 8 !== lostTile)
    for (const index of indexes) {
      const { leafHash, hashes } = await proofs.prove(asLeafIndex(index), checkpoint)
      const plan = planInclusionProof(asLeafIndex(index), asTreeSize(size))
      expect(hex([leafHash, ...hashes])).toEqual(
        hex([tree.root(index, index + 1), ...plan.map(({ lo, hi }) => tree.root(lo, hi))]),
      )
      const older = asTreeSize(Math.max(index + 1, 69_000))
      const olderPlan = planInclusionProof(asLeafIndex(index), older)
      expect(hex(await proofs.proveAt(asLeafIndex(index), older, checkpoint))).toEqual(
        hex(olderPlan.map(({ lo, hi }) => tree.root(lo, hi))),
      )
    }
    expect(asked.filter((each) => each.startsWith('tile 1/'))).toEqual(['tile 1/0/256'])
  })

  test('of a leaf are not handed out where the root, the tile above or the part is another', async () => {
    openCache()
    const other = { ...checkpoint, root: new Uint8Array(32).fill(7) as Hash }
    await expect(new TreeProofs(cache, nativeSha256).prove(asLeafIndex(300), other)).rejects.toMatchObject({
      name: 'TlogError',
    })
    for (const wrong of ['tile', 'part'] as const) {
      const altered = new TileCache(
        {
          readTile: async (...tile) => flipped(await cache.readTile(...tile), wrong === 'tile' && tile[0] === 1),
          readPart: async (...place) => {
            const part = await cache.readPart(...place)
            return 'midRoots' in part ? { ...part, slots: flipped(part.slots, wrong === 'part') } : undefined
          },
        },
        nativeSha256,
      )
      altered.add(edge, [])
      const proving = new TreeProofs(altered, nativeSha256).prove(asLeafIndex(300), checkpoint)
      await expect(proving).rejects.toMatchObject({ name: 'TlogError' })
    }
  })

  test('of any leaf in any size, and of any two sizes, are those of the reference', async () => {
    openCache()
    const sizes = fc.tuple(fc.nat(size - 1), fc.integer({ min: 1, max: size }), fc.integer({ min: 1, max: size }))
    await fc.assert(
      fc.asyncProperty(sizes, async ([leaf, some, other]) => {
        const of = asTreeSize(Math.max(leaf + 1, some))
        const [from, to] = [asTreeSize(Math.min(some, other)), asTreeSize(Math.max(some, other))]
        const plans = [planInclusionProof(asLeafIndex(leaf), of), planConsistencyProof(from, to)]
        const tiles = plans.flat().map(({ lo, hi }) => [Math.floor(lo / 256), Math.floor((hi - 1) / 256)])
        if (tiles.flat().includes(lostTile)) return
        for (const plan of plans) {
          const roots = plan.map(({ lo, hi }) => tree.root(lo, hi))
          expect(hex(await readRoots(cache, plan, asTreeSize(size), nativeSha256))).toEqual(hex(roots))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('of many leaves at once come together, each its own', async () => {
    openCache()
    const indexes = Array.from({ length: 600 }, (_, i) => (i * 113) % 65_000).filter((i) => i >> 8 !== lostTile)
    const plans = indexes.map((i) => [{ lo: i, hi: i + 1 }])
    const got = await Promise.all(plans.map((plan) => readRoots(cache, plan, asTreeSize(size), nativeSha256)))
    expect(hex(got.flat())).toEqual(hex(indexes.map((i) => leaves.subarray(32 * i, 32 * i + 32))))
  })

  test('of a leaf in a tile without mid roots are made of the whole tile', async () => {
    openCache()
    const index = asLeafIndex(256 * oldTile + 77)
    await new TreeProofs(cache, nativeSha256).prove(index, checkpoint)
    expect(asked).toContain(`tile 0/${oldTile}/256`)
  })

  test('of other leaves are there although one tile is lost', async () => {
    openCache()
    const prove = (tile: number): Promise<unknown> =>
      new TreeProofs(cache, nativeSha256).prove(asLeafIndex(256 * tile), checkpoint)
    const [before, lost, behind] = await Promise.allSettled([prove(lostTile - 1), prove(lostTile), prove(lostTile + 1)])
    expect([before?.status, behind?.status]).toEqual(['fulfilled', 'fulfilled'])
    expect(lost).toMatchObject({ status: 'rejected', reason: { name: 'RangeError' } })
  })

  test('from altered mid roots are not handed out', async () => {
    openCache()
    const altered = new TileCache(
      {
        readTile: (...tile) => cache.readTile(...tile),
        readPart: async (level, index, group) => {
          const part = await cache.readPart(level, index, group)
          if (!('midRoots' in part)) return undefined
          const midRoots = Uint8Array.from(part.midRoots)
          midRoots[32 * 9] = (midRoots[32 * 9] ?? 0) ^ 1
          return { ...part, midRoots }
        },
      },
      nativeSha256,
    )
    altered.add(edge, [])
    const proving = new TreeProofs(altered, nativeSha256).prove(asLeafIndex(256), checkpoint)
    await expect(proving).rejects.toMatchObject({ name: 'TlogError' })
    const consistency = new TreeProofs(altered, nativeSha256).proveConsistency(
      asTreeSize(256 * 5 + 3),
      asTreeSize(size),
      checkpoint,
    )
    await expect(consistency).rejects.toMatchObject({ name: 'TlogError' })
  })
})
