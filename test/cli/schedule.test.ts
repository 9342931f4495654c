import { describe, expect, test } from 'vitest'
import { readSchedule } from '../../src/cli/schedule.ts'

const at = (text: string): number => new Date(text).getTime()

test('a time is so long after the last', async () => {
  const { next } = await readSchedule('--every', '10m')
  expect(next(1_000)).toBe(601_000)
})

test('the five fields of cron are the next minute that fits', async () => {
  const { next } = await readSchedule('--every', '*/10 * * * *')
  expect(next(at('2026-01-01T00:03:20'))).toBe(at('2026-01-01T00:10:00'))
  expect(next(at('2026-01-01T00:10:00'))).toBe(at('2026-01-01T00:20:00'))
  const sunday = await readSchedule('--full-every', '30 2 * * 0')
  expect(sunday.next(at('2026-01-01T00:00:00'))).toBe(at('2026-01-04T02:30:00'))
})

describe('anything else', () => {
  test.each(['', '10', '10d', '99 * * * *', '* * * *', '* * * * * *', '0 0 30 2 *', '@daily'])(
    '%j is bad use',
    async (text) => {
      await expect(readSchedule('--every', text)).rejects.toThrow(/^--every: want a time like/)
    },
  )
})
