import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nativeBase64 } from '../../src/ops/native-base64.ts'
import { formatBase64 } from '../../tlog/bytes.ts'

test('is the base64 of tlog, wherever in a buffer the bytes lie', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, start) => {
      const view = bytes.subarray(Math.min(start, bytes.length))
      expect(nativeBase64(view)).toBe(formatBase64(view))
    }),
  )
})
