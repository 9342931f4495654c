import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex } from '../../tlog/bytes.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import {
  buildPyramid,
  isInPart,
  rootInPart,
  rootOfFullTile,
  rootOfSlots,
  slotsOfNode,
  upperNodesIn,
  upperPyramid,
} from '../../tlog/tile-nodes.ts'
import { entriesOf, leafHashesOf, referenceReader, referenceTree } from './reference-tree.ts'

type NodeCase = {
  level: number
  index: number
  tileLevel: number
  tileIndex: number
  from: number
  to: number
  hash?: string
}
const file = new URL('../vectors/tiles/node-to-tile.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: NodeCase[] }

/** The roots of each 16 slots of a tile. */
function midRootsOf(tile: Uint8Array): Uint8Array {
  return Buffer.concat(Array.from({ length: 16 }, (_, i) => rootOfSlots(tile, 16 * i, 16 * (i + 1))))
}

describe('a node of the tree', () => {
  const tree = referenceTree(entriesOf(65_536))
  const reader = referenceReader(tree)

  it.each(cases)('of level $level and index $index is found in its tile', async (c) => {
    const slots = slotsOfNode({ level: c.level, index: c.index })
    expect(slots).toEqual({ level: c.tileLevel, index: c.tileIndex, from: c.from, to: c.to })
    if (c.hash === undefined) return
    const tile = await reader.readTile(slots.level, slots.index, slots.to)
    expect(formatHex(rootOfSlots(tile, slots.from, slots.to))).toBe(c.hash)
  })

  it('of any level and place in a tile is the root of its leaves', () => {
    const tile = leafHashesOf(tree, 256, 512)
    for (let width = 1; width <= 256; width *= 2) {
      for (let from = 0; from < 256; from += width) {
        const want = tree.root(256 + from, 256 + from + width)
        expect(rootOfSlots(tile, from, from + width, nativeSha256)).toEqual(want)
      }
    }
    expect(rootOfFullTile(tile)).toEqual(tree.root(256, 512))
  })

  it('of any level and place in a tile comes from the part that holds it', () => {
    const tile = leafHashesOf(tree, 256, 512)
    const midRoots = midRootsOf(tile)
    const upper = upperPyramid(upperNodesIn(buildPyramid(tile, nativeSha256)))
    // Above the mid roots nothing is left to hash.
    const noHash = (width: number): Sha256 => (width < 16 ? nativeSha256 : () => expect.unreachable('hashed'))
    for (let width = 1; width <= 256; width *= 2) {
      for (let from = 0; from < 256; from += width) {
        for (const group of [0, Math.floor(from / 16), 15]) {
          if (!isInPart(group, from, from + width)) continue
          const part = { group, midRoots, slots: tile.subarray(512 * group, 512 * (group + 1)) }
          const want = tree.root(256 + from, 256 + from + width)
          expect(rootInPart(part, from, from + width, nativeSha256)).toEqual(want)
          expect(rootInPart({ ...part, upper }, from, from + width, noHash(width))).toEqual(want)
        }
      }
    }
    expect([isInPart(0, 16, 17), isInPart(1, 16, 17), isInPart(1, 30, 32), isInPart(0, 16, 32)]).toEqual([
      ...[false, true, true, true],
    ])
  })

  it('of an index above 2^32 is found without loss', () => {
    const index = 2 ** 51 + 5
    const tile = { level: 0, index: index / 64 - 5 / 64, from: 20, to: 24 }
    expect(slotsOfNode({ level: 2, index })).toEqual(tile)
  })
})

describe('a tile', () => {
  const tile = leafHashesOf(referenceTree(entriesOf(5)), 0, 5)

  it('that is too short for the slots is refused', () => {
    expect(() => rootOfSlots(tile, 4, 6)).toThrow(/no slot 5/)
    expect(() => rootOfFullTile(tile)).toThrow(/got 160 bytes, want 8192/)
  })

  it('is not changed by hashing it', () => {
    const before = tile.slice()
    rootOfSlots(tile, 0, 4)
    expect(tile).toEqual(before)
  })
})
