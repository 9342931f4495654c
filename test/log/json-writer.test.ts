import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonWriter } from '../../src/log/json-writer.ts'

/** What `write` wrote, as text. */
function written(write: (json: JsonWriter) => void, bytesMax = 4_096): string {
  const json = new JsonWriter(bytesMax)
  write(json)
  return Buffer.from(json.take()).toString('utf8')
}

function stringOf(text: string): string {
  const bytes = Buffer.from(`<${text}>`, 'utf8')
  return written((json) => json.string({ bytes, start: 1, end: bytes.length - 1 }), 6 * bytes.length)
}

test('a string is the one that JSON.stringify makes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      expect(stringOf(text)).toBe(JSON.stringify(text))
    }),
  )
})

test('every character below U+0100 is escaped as JSON.stringify does', () => {
  for (let code = 0; code < 0x100; code++) {
    const text = String.fromCharCode(code)
    expect(stringOf(text)).toBe(JSON.stringify(text))
  }
})

test('an integer has its decimal digits', () => {
  for (const n of [
    0,
    1,
    9,
    10,
    99,
    100,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    1_764_000_000_123_456,
    Number.MAX_SAFE_INTEGER,
  ]) {
    expect(written((json) => json.integer(n))).toBe(String(n))
  }
  fc.assert(
    fc.property(fc.maxSafeNat(), (n) => {
      expect(written((json) => json.integer(n))).toBe(String(n))
    }),
  )
})

test('hex and base64 are those of Node', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(written((json) => json.hex(bytes, 0, bytes.length))).toBe(Buffer.from(bytes).toString('hex'))
      expect(written((json) => json.base64(bytes))).toBe(Buffer.from(bytes).toString('base64'))
    }),
  )
})

test('what was taken stays as it was while others are written', () => {
  const taken = Array.from({ length: 300 }, (_, n) => {
    const json = new JsonWriter(70_000)
    json.ascii('x'.repeat(n))
    json.integer(n)
    return json.take()
  })
  taken.forEach((bytes, n) => {
    expect(Buffer.from(bytes).toString('utf8')).toBe(`${'x'.repeat(n)}${n}`)
  })
})

test('what was begun and not taken leaves nothing behind', () => {
  new JsonWriter(100).ascii('lost')
  expect(written((json) => json.ascii('kept'))).toBe('kept')
})
