import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hashesJson, nativeBase64 } from '../../src/ops/native-base64.ts'
import { formatBase64 } from '../../tlog/bytes.ts'

test('is the base64 of tlog, wherever in a buffer the bytes lie', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, start) => {
      const view = bytes.subarray(Math.min(start, bytes.length))
      expect(nativeBase64(view)).toBe(formatBase64(view))
    }),
  )
})

test('the base64 of many hashes together is that of each, as JSON', () => {
  for (const count of [0, 1, 2, 3, 64]) {
    const hashes = Array.from({ length: count }, () => new Uint8Array(randomBytes(32)))
    expect(hashesJson(hashes)).toBe(JSON.stringify(hashes.map(formatBase64)))
  }
  const edges = [new Uint8Array(32), new Uint8Array(32).fill(255), new Uint8Array(32).fill(0xfb)]
  expect(hashesJson(edges)).toBe(JSON.stringify(edges.map(formatBase64)))
})
