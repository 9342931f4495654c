import { expect, test } from 'vitest'
import { GrownTree } from '../../src/audit/grown-tree.ts'
import type { RangeResult } from '../../src/audit/range-check.ts'
import { buildNodes, rangeLeaves, rangeNodesBytes } from '../../src/audit/range-nodes.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex } from '../../tlog/bytes.ts'
import { emptyRange, extendRange } from '../../tlog/compact-range.ts'
import { hashBytes } from '../../tlog/hash.ts'

test('the nodes of a size are those of its compact range, where ranges end too', () => {
  const tree = new GrownTree(nativeSha256)
  const leaves = new Uint8Array(hashBytes * rangeLeaves)
  let want = emptyRange
  for (let above = 0; above < 4 * rangeLeaves; above += rangeLeaves) {
    leaves.fill(1 + above / rangeLeaves)
    const nodes = buildNodes(leaves, nativeSha256, new Uint8Array(rangeNodesBytes))
    tree.add({ above, upTo: above + rangeLeaves, nodes } as RangeResult)
    for (const count of [0, 1, 255, 256, rangeLeaves - 1, rangeLeaves]) {
      const range = extendRange(want, leaves.subarray(0, hashBytes * count), () => {}, nativeSha256)
      expect([count, formatHex(tree.packed(above + count))]).toEqual([count, formatHex(range.hashes)])
    }
    want = extendRange(want, leaves, () => {}, nativeSha256)
  }
})
