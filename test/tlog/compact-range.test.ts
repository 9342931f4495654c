import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex, parseHex } from '../../tlog/bytes.ts'
import {
  appendLeafHash,
  asCompactRange,
  type CompactRange,
  emptyRange,
  extendRange,
  foldRight,
  rangeRoot,
} from '../../tlog/compact-range.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { type Hash, leafHash } from '../../tlog/hash.ts'
import { nodesOfRange } from '../../tlog/proof.ts'
import { entriesOf, entryOf, leafHashesOf, referenceTree } from './reference-tree.ts'

function readVector<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/merkle/${name}`, import.meta.url), 'utf8')) as T
}

type RangeCase = { size: number; nodes: { level: number; index: number; hash: string }[]; root: string }
const { cases } = readVector<{ cases: RangeCase[] }>('compact-ranges.json')
const { roots } = readVector<{ roots: string[] }>('roots.json')
const eight = readVector<{ entries: string[]; leafHashes: string[]; roots: string[] }>('reference-tree-8.json')

/** Ranges of the first 0 to `count` entries, made one leaf at a time. */
function rangesTo(count: number): CompactRange[] {
  const ranges = [emptyRange]
  for (let i = 0; i < count; i++) {
    ranges.push(appendLeafHash(ranges[i] as CompactRange, leafHash(entryOf(i), nativeSha256), nativeSha256))
  }
  return ranges
}

describe('a compact range', () => {
  const ranges = rangesTo(1025)

  it.each(cases)('of $size leaves has the nodes and the root of the vector', ({ size, nodes, root }) => {
    const range = ranges[size] as CompactRange
    expect(range.size).toBe(size)
    expect(formatHex(range.hashes)).toBe(nodes.map((node) => node.hash).join(''))
    expect(nodesOfRange({ lo: 0, hi: size })).toEqual(nodes.map(({ level, index }) => ({ level, index })))
    expect(formatHex(rangeRoot(range))).toBe(root)
  })

  it('has the root of the vector for each size to 1025', () => {
    expect(roots).toHaveLength(1026)
    expect(ranges.map((range) => formatHex(rangeRoot(range, nativeSha256)))).toEqual(roots)
  })

  it('has the root of the reference for each size to 130 and those around 256', () => {
    const tree = referenceTree(entriesOf(258))
    for (const { size } of ranges.slice(0, 259).filter(({ size }) => size <= 130 || size >= 254)) {
      expect(rangeRoot(ranges[size] as CompactRange)).toEqual(tree.root(0, size))
    }
  })

  it('has the roots of the eight-leaf tree whose first entry is empty', () => {
    let range = emptyRange
    for (const [i, hex] of eight.entries.entries()) {
      expect(formatHex(rangeRoot(range))).toBe(eight.roots[i])
      const leaf = leafHash(parseHex(hex))
      expect(formatHex(leaf)).toBe(eight.leafHashes[i])
      range = appendLeafHash(range, leaf)
    }
    expect(formatHex(rangeRoot(range))).toBe(eight.roots[8])
  })

  it('is not changed by appending to it', () => {
    const range = asCompactRange(asTreeSize(7), (ranges[7] as CompactRange).hashes.slice())
    appendLeafHash(range, leafHash(entryOf(7)))
    expect(range).toEqual(ranges[7])
  })

  it('is the same however the leaves are cut into batches, and with both hashes', () => {
    const leaves = leafHashesOf(referenceTree(entriesOf(300)), 0, 300)
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 4 }), (cuts) => {
        const stops = [...cuts.sort((a, b) => a - b), 300]
        let range = emptyRange
        for (const stop of stops) range = extendRange(range, leaves.subarray(32 * range.size, 32 * stop), () => {})
        expect(range).toEqual(ranges[300])
      }),
      { numRuns: 20 },
    )
  })

  it('shows each inner node once, bottom up', () => {
    const tree = referenceTree(entriesOf(21))
    const seen: { level: number; hash: Uint8Array }[] = []
    extendRange(emptyRange, leafHashesOf(tree, 0, 21), (level, bytes, at) => {
      seen.push({ level, hash: bytes.slice(at, at + 32) })
    })
    const want: { level: number; hash: Uint8Array }[] = []
    for (let hi = 1; hi <= 21; hi++) {
      for (let level = 1; hi % 2 ** level === 0; level++) want.push({ level, hash: tree.root(hi - 2 ** level, hi) })
    }
    expect(seen).toEqual(want)
  })

  it('of the wrong length is refused', () => {
    for (const length of [0, 32, 95, 97, 128]) {
      expect(() => asCompactRange(asTreeSize(7), new Uint8Array(length))).toThrow(/got \d+ bytes, want 96/)
    }
  })

  it('takes the last leaf that a size of 2^53-1 can count and refuses one more', () => {
    const last = asCompactRange(asTreeSize(2 ** 53 - 2), new Uint8Array(32 * 52))
    const full = appendLeafHash(last, new Uint8Array(32) as Hash)
    expect(full).toMatchObject({ size: 2 ** 53 - 1, hashes: { length: 32 * 53 } })
    expect(() => appendLeafHash(full, new Uint8Array(32) as Hash)).toThrow(/tree size/)
  })

  it('refuses leaf hashes that are no multiple of 32 bytes', () => {
    expect(() => extendRange(emptyRange, new Uint8Array(33), () => {})).toThrow(/multiple of 32/)
  })

  it('folds its hashes without changing them', () => {
    const hashes = (ranges[13] as CompactRange).hashes.slice()
    expect(formatHex(foldRight(hashes))).toBe(roots[13])
    expect(hashes).toEqual((ranges[13] as CompactRange).hashes)
  })
})
