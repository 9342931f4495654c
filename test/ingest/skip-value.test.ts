import fc from 'fast-check'
import { expect, test } from 'vitest'
import { skipValue } from '../../src/ingest/skip-value.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

test('the end of a value is where JSON.stringify ended it, whatever follows', () => {
  const follows = fc.constantFrom(',1]', ']', ',"a"')
  fc.assert(
    fc.property(fc.json(), follows, (text, rest) => {
      const bytes = encode(`[${text}${rest}`)
      expect(skipValue(bytes, 1, bytes.length)).toBe(encode(text).length + 1)
    }),
  )
})

test.each(['{"a":1', '[', '"a', '"a\\"', '"a\\', '{"}', '12'])('%s does not end', (text) => {
  expect(skipValue(encode(text), 0, text.length)).toBe(-1)
})
