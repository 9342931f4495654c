import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex } from '../../tlog/bytes.ts'
import { digest, emptyRoot, leafHash, nobleSha256, nodeHash } from '../../tlog/hash.ts'
import { entryOf } from './reference-tree.ts'

describe('hashes of RFC 6962 2.1', () => {
  it('an empty tree has the hash of no bytes', () => {
    expect(formatHex(emptyRoot)).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  })

  it('an empty entry has the hash of its prefix, which is not the empty root', () => {
    expect(formatHex(leafHash(new Uint8Array(0)))).toBe(
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    )
  })

  it('a node is the hash of its children behind 0x01', () => {
    const node = nodeHash(leafHash(entryOf(0)), leafHash(entryOf(1)))
    expect(formatHex(node)).toBe('2f27a5082c1d42afa488ac350a9fc4390c084f54f71ecdff859e98db8429b479')
  })
})

describe('the two implementations of SHA-256', () => {
  it('are equal for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(digest(bytes, nativeSha256)).toEqual(digest(bytes, nobleSha256))
      }),
    )
  })

  it('hash a part of a buffer into the same buffer alike', () => {
    const place = fc.tuple(fc.nat(100), fc.nat(100), fc.nat(68))
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 100, maxLength: 100 }), place, (bytes, [a, b, outStart]) => {
        const native = bytes.slice()
        const portable = bytes.slice()
        nativeSha256(native, Math.min(a, b), Math.max(a, b), native, outStart)
        nobleSha256(portable, Math.min(a, b), Math.max(a, b), portable, outStart)
        expect(native).toEqual(portable)
      }),
    )
  })
})
