import { describe, expect, test } from 'vitest'
import { RecentIds } from '../../src/log/recent-ids.ts'

/** The n-th id of a time: 48 bits of milliseconds, then bits that differ. */
function idOf(ms: number, n: number): Uint8Array {
  const id = Buffer.alloc(16)
  id.writeUIntBE(ms, 0, 6)
  id[6] = 0x70
  id[8] = 0x80
  id.writeUInt32BE(n, 12)
  return id
}

const now = 1_764_000_000_000

describe('recent ids', () => {
  test('an id below the horizon may always be known', () => {
    const recent = new RecentIds(now)
    expect(recent.mayHave(idOf(now - 1, 1), 0)).toBe(true)
    expect(recent.mayHave(idOf(0, 1), 0)).toBe(true)
  })

  test('an id above the horizon is known when it was added, at any place of the bytes', () => {
    const recent = new RecentIds(now)
    const rows = Buffer.concat([Buffer.alloc(6), idOf(now + 5, 7), Buffer.alloc(3)])
    expect(recent.mayHave(rows, 6)).toBe(false)
    recent.add(rows, 6)
    expect(recent.mayHave(rows, 6)).toBe(true)
    expect(recent.mayHave(idOf(now + 5, 8), 0)).toBe(false)
    expect(recent.mayHave(idOf(now + 6, 7), 0)).toBe(false)
  })

  test('without a horizon everything may be known', () => {
    const recent = new RecentIds(Number.POSITIVE_INFINITY)
    recent.add(idOf(now, 1), 0)
    expect(recent.mayHave(idOf(2 ** 48 - 1, 1), 0)).toBe(true)
  })

  test('no id that was added is ever denied, however many there are', () => {
    const recent = new RecentIds(now)
    const count = 1_000_000
    // Up to five seconds out of order, and one in a thousand a century ahead.
    const added = (n: number): Uint8Array =>
      n % 1_000 === 0 ? idOf(now + 3_155_760_000_000 + n, n) : idOf(now + Math.floor(n / 40) + ((n * 7_919) % 5_000), n)
    for (let n = 0; n < count; n++) recent.add(added(n), 0)
    let denied = 0
    for (let n = 0; n < count; n++) if (!recent.mayHave(added(n), 0)) denied++
    expect(denied).toBe(0)
    expect(recent.horizonMs).toBeGreaterThan(now)
    expect(recent.horizonMs).toBeLessThan(now + count / 40)
    expect(recent.mayHave(idOf(now + 30_001, count), 0)).toBe(false)
  })

  test('ids of one and the same time are no more kept than others', () => {
    const recent = new RecentIds(now)
    for (let n = 0; n < 800_000; n++) recent.add(idOf(now + 1, n), 0)
    expect(recent.horizonMs).toBe(now + 2)
    expect(recent.mayHave(idOf(now + 1, 900_000), 0)).toBe(true)
    expect(recent.mayHave(idOf(now + 2, 900_000), 0)).toBe(false)
  })
})
