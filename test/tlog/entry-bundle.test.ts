import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex, parseHex } from '../../tlog/bytes.ts'
import { cutEntryBundle, decodeEntryBundle, encodeEntryBundle, tileOfEntryBundle } from '../../tlog/entry-bundle.ts'
import { leafHash } from '../../tlog/hash.ts'
import { formatBundlePath } from '../../tlog/tile.ts'
import { entriesOf, entryOf, leafHashesOf, referenceTree } from './reference-tree.ts'

function readVector<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/tiles/${name}`, import.meta.url), 'utf8')) as T
}

type Bundle = { path: string; n: number; width: number; bytes: number; sha256: string }
const small = readVector<{
  tile: { hex: string }
  entryBundle: { hex: string }
  bundleCorners: { entries?: string[]; bundleHex?: string; bundleSha256?: string; leafHash?: string }[]
  badBundles: { why: string; hex: string }[]
}>('small-tree-5.json')
const { entryBundles } = readVector<{ entryBundles: Bundle[] }>('tree-70000.json')
const { sizes } = readVector<{ sizes: { lastEntryBundle: Bundle | null }[] }>('sizes.json')
const malformed = expect.objectContaining({ code: 'malformed-bundle' })

describe('an entry bundle', () => {
  it('of five entries has the bytes of the vector and belongs to the tile of the vector', () => {
    const bundle = encodeEntryBundle(entriesOf(5))
    expect(formatHex(bundle)).toBe(small.entryBundle.hex)
    expect(decodeEntryBundle(bundle, 5)).toEqual(entriesOf(5))
    expect(formatHex(tileOfEntryBundle(bundle, 5))).toBe(small.tile.hex)
  })

  it('holds empty entries', () => {
    for (const { entries, bundleHex } of small.bundleCorners) {
      if (entries === undefined || bundleHex === undefined) continue
      expect(formatHex(encodeEntryBundle(entries.map(parseHex)))).toBe(bundleHex)
      expect(decodeEntryBundle(parseHex(bundleHex), entries.length)).toEqual(entries.map(parseHex))
    }
  })

  it('holds an entry of 65,535 bytes and no longer one', () => {
    const corner = small.bundleCorners.find(({ bundleSha256 }) => bundleSha256 !== undefined)
    const entry = new Uint8Array(65_535).fill(0x61)
    expect(sha256Hex(encodeEntryBundle([entry]))).toBe(corner?.bundleSha256)
    expect(formatHex(leafHash(entry))).toBe(corner?.leafHash)
    expect(() => encodeEntryBundle([new Uint8Array(65_536)])).toThrow(malformed)
  })

  it.each(small.badBundles)('that is damaged is refused: $why', ({ hex }) => {
    expect(() => decodeEntryBundle(parseHex(hex), 1)).toThrow(malformed)
  })

  it('of none or of more than 256 entries is refused', () => {
    for (const count of [0, 257]) {
      expect(() => encodeEntryBundle(entriesOf(count))).toThrow(malformed)
      expect(() => decodeEntryBundle(new Uint8Array(2 * count), count)).toThrow(malformed)
    }
  })

  it('is the one of the vector for each of the 70,000 entries and for the last of each size', () => {
    const bundles = [...entryBundles, ...sizes.flatMap(({ lastEntryBundle }) => lastEntryBundle ?? [])]
    for (const { path, n, width, bytes, sha256 } of bundles) {
      const bundle = encodeEntryBundle(Array.from({ length: width }, (_, i) => entryOf(256 * n + i)))
      expect({ bytes: bundle.length, sha256: sha256Hex(bundle) }).toEqual({ bytes, sha256 })
      expect(formatBundlePath({ index: n, width })).toBe(path)
    }
    expect(entryBundles).toHaveLength(274)
  })

  it('cut to fewer entries is the bundle of those, and of more is refused', () => {
    const full = encodeEntryBundle(entriesOf(256))
    for (let width = 1; width <= 256; width++) {
      expect(cutEntryBundle(full, width)).toEqual(encodeEntryBundle(entriesOf(width)))
    }
    expect(() => cutEntryBundle(encodeEntryBundle(entriesOf(5)), 6)).toThrow(malformed)
  })

  it('gives back the entries that went in, and with one more or less expected is refused', () => {
    const entries = fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 255 })
    fc.assert(
      fc.property(entries, (entries) => {
        const bundle = encodeEntryBundle(entries)
        expect(decodeEntryBundle(bundle, entries.length)).toEqual(entries)
        expect(() => decodeEntryBundle(bundle, entries.length + 1)).toThrow(malformed)
        expect(() => decodeEntryBundle(bundle, entries.length - 1)).toThrow(malformed)
      }),
      { numRuns: 50 },
    )
  })

  it('has the leaf hashes of its entries with both hashes', () => {
    const bundle = encodeEntryBundle(entriesOf(256))
    const want = leafHashesOf(referenceTree(entriesOf(256)), 0, 256)
    expect(tileOfEntryBundle(bundle, 256)).toEqual(want)
    expect(tileOfEntryBundle(bundle, 256, nativeSha256)).toEqual(want)
  })
})

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
