import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { upperTilesOf } from '../../src/audit/strays.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { appendLeafHash, emptyRange } from '../../tlog/compact-range.ts'
import { asHash } from '../../tlog/hash.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'

const rootsOf = (count: number): string[] => Array.from({ length: count }, () => randomBytes(32).toString('hex'))
const places = (roots: readonly string[]): unknown[] =>
  upperTilesOf(roots, nativeSha256).map(({ level, index }) => [level, index])

test('tiles above ranges are there when they are full', () => {
  expect(places([])).toEqual([])
  expect(places(rootsOf(255))).toEqual([])
  expect(places(rootsOf(256))).toEqual([[2, 0]])
  expect(places(rootsOf(2 * 256 + 255))).toEqual([
    [2, 0],
    [2, 1],
  ])
})

test('of 4,294,967,296 entries there is one of level 3, whose root is that of the tree', () => {
  const roots = rootsOf(65_536)
  const tiles = upperTilesOf(roots, nativeSha256)
  const top = tiles.at(-1)
  expect([tiles.length, top?.level, top?.index]).toEqual([257, 3, 0])
  const tree = roots.reduce(
    (range, root) => appendLeafHash(range, asHash(Buffer.from(root, 'hex')), nativeSha256),
    emptyRange,
  )
  expect(Buffer.from(rootOfFullTile(top?.hashes ?? new Uint8Array(0), nativeSha256))).toEqual(Buffer.from(tree.hashes))
})
