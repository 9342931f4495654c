import { expect, test } from 'vitest'
import { SpareBuffers } from '../../src/ops/spare-buffers.ts'

const mebibyte = 1_048_576

test('a buffer that was given back is taken again by who finds room in it, by one at a time', () => {
  const spares = new SpareBuffers(8 * mebibyte)
  const buffer = spares.take(mebibyte)
  expect(buffer.length).toBeGreaterThanOrEqual(mebibyte)
  spares.give(buffer)
  const [larger, again, other] = [spares.take(2 * mebibyte), spares.take(mebibyte / 2), spares.take(mebibyte / 2)]
  expect(again).toBe(buffer)
  expect(larger.buffer).not.toBe(buffer.buffer)
  expect(other.buffer).not.toBe(buffer.buffer)
})

test('no more is kept than was allowed: those that came first are let go', () => {
  const spares = new SpareBuffers(2 * mebibyte)
  const three = [1, 2, 3].map(() => spares.take(mebibyte))
  for (const buffer of three) spares.give(buffer)
  expect(spares.take(mebibyte)).toBe(three[1])
  expect(spares.take(mebibyte)).toBe(three[2])
  expect(three).not.toContain(spares.take(mebibyte))
})

test('a buffer larger than all that may be kept is not', () => {
  const spares = new SpareBuffers(mebibyte)
  const large = spares.take(2 * mebibyte)
  spares.give(large)
  expect(spares.take(mebibyte)).not.toBe(large)
})
