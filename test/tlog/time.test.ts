import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { formatMicroseconds, microsecondsEnd, parseOccurredAt, parseOccurredAtBytes } from '../../tlog/time.ts'

function reasonOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return `${error.code} ${error.message}`
    throw error
  }
  return 'no error'
}

test.each([
  ['1970-01-01T00:00:00Z', 0],
  ['2026-11-22T02:30:00.123456Z', 1_795_314_600_123_456],
  ['2026-11-22T03:30:00+01:00', 1_795_314_600_000_000],
  ['2026-11-22T02:30:00.5Z', 1_795_314_600_500_000],
  ['2026-11-22T02:30:00.000001Z', 1_795_314_600_000_001],
  ['2026-11-22T02:30:00.120-00:00', 1_795_314_600_120_000],
  ['1969-12-31T23:59:59.999999-00:01', 59_999_999],
  ['1969-12-31T08:01:00-15:59', 0],
  ['1970-01-01T15:59:00+15:59', 0],
  ['2254-12-31T23:59:59.999999Z', microsecondsEnd - 1],
  ['2255-01-01T15:58:59+15:59', microsecondsEnd - 1_000_000],
  ['2000-02-29T00:00:00Z', 951_782_400_000_000],
  ['2024-02-29T23:59:59Z', 1_709_251_199_000_000],
])('%s is %d', (text, us) => {
  expect(parseOccurredAt(text)).toBe(us)
  const bytes = encodeUtf8(`"${text}",0`)
  expect(parseOccurredAtBytes(bytes, 1, 1 + text.length)).toBe(us)
})

describe('refused', () => {
  test.each([
    ['', 'too short; want RFC 3339, like 2026-11-22T09:30:00Z'],
    ['2026-11-22', 'too short'],
    ['2026-11-22T02:30Z', 'too short'],
    ['2026-11-22T02:30:00', 'too short'],
    ['2026-11-22T02:30:00.123456+01:000', 'too long'],
    ['2026-11-22t02:30:00Z', 'want YYYY-MM-DDTHH:MM:SS'],
    ['2026-11-22 02:30:00Z', 'want YYYY-MM-DDTHH:MM:SS'],
    ['2026/11/22T02:30:00Z', 'want YYYY-MM-DDTHH:MM:SS'],
    ['+02026-11-22T02:30:00Z', 'want YYYY-MM-DDTHH:MM:SS'],
    ['2026-11-22T02:30:00z', 'want Z or an offset'],
    ['2026-11-22T02:30:00+', 'want Z or an offset'],
    ['2026-11-22T02:30:00+01', 'want Z or an offset'],
    ['2026-11-22T02:30:00+0100', 'want Z or an offset'],
    ['2026-11-22T02:30:00+01:0', 'want Z or an offset'],
    ['2026-11-22T02:30:00+1:000', 'want Z or an offset'],
    ['2026-11-22T02:30:00+16:00', 'want Z or an offset'],
    ['2026-11-22T02:30:00+15:60', 'want Z or an offset'],
    ['2026-11-22T02:30:00\u221201:00', 'want Z or an offset'],
    ['2026-11-22T02:30:00ZZ', 'want Z or an offset'],
    ['2026-11-22T02:30:00Z ', 'want Z or an offset'],
    ['2026-11-22T02:30:00.1', 'want Z or an offset'],
    ['2026-11-22T02:30:00,1Z', 'want Z or an offset'],
    ['2026-11-22T02:30:00.Z', 'want 1 to 6 digits'],
    ['2026-11-22T02:30:00.1234567Z', 'want 1 to 6 digits'],
    ['2026-11-22T02:30:00.12e4Z', 'want Z or an offset'],
    ['2026-11-22T02:30:60Z', 'second is not'],
    ['2016-12-31T23:59:60Z', 'second is not'],
    ['2026-11-22T02:60:00Z', 'minute is not'],
    ['2026-11-22T24:00:00Z', 'hour is not'],
    ['2026-11-22T-1:00:00Z', 'hour is not'],
    ['2026-11-22T 1:00:00Z', 'hour is not'],
    ['2026-00-22T02:30:00Z', 'month is not'],
    ['2026-13-22T02:30:00Z', 'month is not'],
    ['2026-11-00T02:30:00Z', 'the month has no such day'],
    ['2026-11-31T02:30:00Z', 'the month has no such day'],
    ['2026-02-29T02:30:00Z', 'the month has no such day'],
    ['2100-02-29T02:30:00Z', 'the month has no such day'],
    ['20x6-11-22T02:30:00Z', 'year is not four digits'],
    ['٢٠٢٦-11-22T02:30:00Z', 'year is not four digits'],
    ['2026-11-22T02:30:0\u0130Z', 'second is not'],
    ['1969-12-31T23:59:59.999999Z', 'not in the years'],
    ['1970-01-01T00:00:00+00:01', 'not in the years'],
    ['2255-01-01T00:00:00Z', 'not in the years'],
    ['2254-12-31T23:59:59-00:01', 'not in the years'],
    ['9999-12-31T23:59:59Z', 'not in the years'],
    ['0000-01-01T00:00:00Z', 'not in the years'],
  ])('%j: %s', (text, reason) => {
    const refusal = reasonOf(() => parseOccurredAt(text))
    expect(refusal).toContain('malformed-timestamp')
    expect(refusal).toContain(reason)
  })

  test('whatever stands before and after the range of bytes', () => {
    const bytes = encodeUtf8('2026-11-22T02:30:00.123456Z')
    expect(reasonOf(() => parseOccurredAtBytes(bytes, 0, 19))).toContain('too short')
    expect(reasonOf(() => parseOccurredAtBytes(bytes, 0, 22))).toContain('want Z')
    expect(reasonOf(() => parseOccurredAtBytes(bytes, 0, bytes.length + 1))).toContain('want Z')
    expect(reasonOf(() => parseOccurredAtBytes(bytes, 20, bytes.length + 20))).toContain('want YYYY')
  })

  test.each([-1, 0.5, microsecondsEnd, Number.NaN])('%d microseconds have no text', (us) => {
    expect(reasonOf(() => formatMicroseconds(us))).toContain('out-of-range')
  })
})

const microseconds = fc.integer({ min: 0, max: microsecondsEnd - 1 })
const milliseconds = fc.integer({ min: 0, max: microsecondsEnd / 1000 - 1 })

test('a formatted instant parses to itself, with any offset', () => {
  const offset = fc.tuple(fc.constantFrom(-1, 1), fc.integer({ min: 0, max: 959 }))
  fc.assert(
    fc.property(microseconds, offset, (us, [sign, minutes]) => {
      const text = formatMicroseconds(us)
      expect(parseOccurredAt(text)).toBe(us)
      const local = us + sign * minutes * 60_000_000
      if (local < 0 || local >= microsecondsEnd) return
      const digits = [Math.floor(minutes / 60), minutes % 60].map((n) => String(n).padStart(2, '0')).join(':')
      const shifted = `${formatMicroseconds(local).slice(0, -1)}${sign < 0 ? '-' : '+'}${digits}`
      expect(parseOccurredAt(shifted)).toBe(us)
    }),
    { numRuns: 2000 },
  )
})

test('the calendar is that of Date', () => {
  fc.assert(
    fc.property(milliseconds, (ms) => {
      const iso = new Date(ms).toISOString()
      expect(parseOccurredAt(iso)).toBe(ms * 1000)
      expect(formatMicroseconds(ms * 1000)).toBe(`${iso.slice(0, -1)}000Z`)
    }),
    { numRuns: 2000 },
  )
})

test('every day from 1970 to 2254 has its own date', () => {
  for (let day = 0; day * 86_400_000_000 < microsecondsEnd; day++) {
    const date = new Date(day * 86_400_000).toISOString().slice(0, 10)
    const text = formatMicroseconds(day * 86_400_000_000)
    if (text !== `${date}T00:00:00.000000Z` || parseOccurredAt(text) !== day * 86_400_000_000) expect(text).toBe(date)
  }
})

test('a date exists exactly where Date keeps it', () => {
  const part = (max: number) => fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, '0'))
  fc.assert(
    fc.property(fc.integer({ min: 1970, max: 2254 }), part(13), part(32), (year, month, day) => {
      const text = `${year}-${month}-${day}T00:00:00.000Z`
      const date = new Date(text)
      const exists = !Number.isNaN(date.getTime()) && date.toISOString() === text
      expect(reasonOf(() => parseOccurredAt(text)) === 'no error').toBe(exists)
    }),
    { numRuns: 1000 },
  )
})

test('27 characters ending in Z that parse format to themselves', () => {
  const mutation = fc.tuple(microseconds, fc.nat(25), fc.constantFrom(...'0123456789-:.TZ+ '))
  fc.assert(
    fc.property(mutation, ([us, at, character]) => {
      const text = formatMicroseconds(us)
      const mutated = text.slice(0, at) + character + text.slice(at + 1)
      if (reasonOf(() => parseOccurredAt(mutated)) !== 'no error') return
      expect(formatMicroseconds(parseOccurredAt(mutated))).toBe(mutated)
    }),
    { numRuns: 1000 },
  )
})

test('a refusal quotes the member that it refuses and nothing behind it', () => {
  const text = '{"occurredAt":"yesterday","payload":{"password":"hunter2"}}'
  const bytes = new TextEncoder().encode(text)
  const start = text.indexOf('yesterday')
  expect(() => parseOccurredAtBytes(bytes, start, start + 9)).toThrow(/^(?!.*hunter).*"yesterday"/)
})
