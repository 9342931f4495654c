import { expect, test } from 'vitest'
import { type Follower, Following, type Step } from '../src/follow.ts'
import { until } from './support/log.ts'

const timing = { idleMs: 1, retryMs: 1, retryMaxMs: 4 }

/** Counts up to what is published, ten at a time; fails where it is told to. */
function counter(failAt: (call: number) => boolean = () => false): Follower & { readonly calls: number[] } {
  let position = 0
  const calls: number[] = []
  return {
    name: 'counter',
    calls,
    readPosition: async () => position,
    step: async (upTo) => {
      calls.push(upTo)
      if (failAt(calls.length)) throw new Error(`call ${calls.length}`)
      const before = position
      position = Math.min(upTo, position + 10)
      return { position, hasWorked: position > before }
    },
  }
}

test('a follower goes up to what is published, and on when there is more', async () => {
  let size = 25
  const follower = counter()
  const following = new Following(follower, { publishedSize: () => size, onFailed: () => {}, timing })
  expect(following.position).toBeUndefined()
  const stop = new AbortController()
  const running = following.run(stop.signal)
  await until(
    () => following.position === 25,
    () => `position ${following.position}`,
  )
  // The fourth finds nothing more to do.
  expect(follower.calls.slice(0, 3)).toEqual([25, 25, 25])
  size = 30
  await until(
    () => following.position === 30,
    () => `position ${following.position}`,
  )
  stop.abort()
  await running
})

test('a step that fails is tried again from where the follower stands, and each failure is told', async () => {
  const failures: string[] = []
  const following = new Following(
    counter((call) => call === 2 || call === 3),
    { publishedSize: () => 40, onFailed: (name, error) => failures.push(`${name}: ${error}`), timing },
  )
  const stop = new AbortController()
  const running = following.run(stop.signal)
  await until(
    () => following.position === 40,
    () => `position ${following.position}`,
  )
  stop.abort()
  await running
  expect(failures).toEqual(['counter: Error: call 2', 'counter: Error: call 3'])
})

test('a follower that comes no further is not asked again at once', async () => {
  const calls: number[] = []
  const stuck: Follower = {
    name: 'stuck',
    readPosition: async () => 5,
    step: async (upTo) => {
      calls.push(upTo)
      return { position: 5, hasWorked: false }
    },
  }
  const idle = { idleMs: 1e6, retryMs: 1, retryMaxMs: 4 }
  const stop = new AbortController()
  const running = new Following(stuck, { publishedSize: () => 10, onFailed: () => {}, timing: idle }).run(stop.signal)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(calls.length).toBe(1)
  stop.abort()
  await running
})

test('a follower that failed still says how far it was, and work that brings it no further goes on at once', async () => {
  const steps: Step[] = [
    { position: 3, hasWorked: true },
    { position: 3, hasWorked: true },
    { position: 3, hasWorked: true },
    { position: 3, hasWorked: false },
  ]
  let asked = 0
  const follower: Follower = {
    name: 'indexes',
    readPosition: async () => 3,
    step: async () => {
      const step = steps[asked++]
      if (step === undefined) throw new Error('no more')
      return step
    },
  }
  const slow = { idleMs: 1e6, retryMs: 1e6, retryMaxMs: 1e6 }
  const following = new Following(follower, { publishedSize: () => 3, onFailed: () => {}, timing: slow })
  const stop = new AbortController()
  const running = following.run(stop.signal)
  await until(
    () => asked === 4,
    () => `asked ${asked} times`,
  )
  expect(following.position).toBe(3)
  stop.abort()
  await running
})

test('a follower that rests because the log is busy goes on when it is not any more', async () => {
  let size = 1_000
  const grow = setInterval(() => {
    size += 1_000
  }, 1)
  const follower = counter()
  const { step } = follower
  // Rest is so many times what a step takes.
  const slowStep: Follower['step'] = (upTo) => new Promise((resolve) => setTimeout(() => resolve(step(upTo)), 5))
  const slow = { idleMs: 5, restWhileBusy: 1e9, busyRate: 1 }
  const options = { publishedSize: () => size, onFailed: () => {}, timing: slow }
  const following = new Following({ ...follower, step: slowStep }, options)
  const stop = new AbortController()
  const running = following.run(stop.signal)
  await until(
    () => follower.calls.length === 1,
    () => `${follower.calls.length} steps`,
  )
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(follower.calls.length).toBe(1)
  clearInterval(grow)
  await until(
    () => follower.calls.length > 2,
    () => `${follower.calls.length} steps`,
  )
  stop.abort()
  await running
})

test('a follower that is told to stop stops, however long it would have waited', async () => {
  const failing = { ...counter(), readPosition: () => Promise.reject(new Error('away')) }
  const long = { idleMs: 1e6, retryMs: 1e6, retryMaxMs: 1e6 }
  for (const follower of [counter(), failing]) {
    const stop = new AbortController()
    const running = new Following(follower, { publishedSize: () => 0, onFailed: () => {}, timing: long }).run(
      stop.signal,
    )
    setTimeout(() => stop.abort(), 20)
    await running
  }
})
