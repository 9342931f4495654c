import { expect, test } from 'vitest'
import { alarmOf, closingsOf } from '../../src/cli/monitor/alarm.ts'
import type { KnownMatch } from '../../src/cli/monitor/state.ts'
import { Telling, unsettled } from '../../src/cli/monitor/telling.ts'
import { type Hook, HookFailure } from '../../src/ops/hooks/hook.ts'

// What hooks that are away miss, look for look, with a clock of the test.

const signal = new AbortController().signal
const match: KnownMatch = {
  ...{ id: 'id', key: 'WATCH_X@alice', violationType: 'WATCH_X', sequenceNumber: 7, detail: 'x', firstSeenMs: 0 },
  ...{ told: [], untold: ['pager'], attempts: 0, triedMs: 0, evidence: { severity: 'error' } },
}
const alarm = (known: KnownMatch) => alarmOf('log.example', known)

/** A hook that is away for so many attempts. */
function hookOf(away: number): { readonly hook: Hook; readonly tried: string[] } {
  const tried: string[] = []
  const deliver: Hook['deliver'] = async ({ id }) => {
    tried.push(id)
    if (tried.length <= away) throw new HookFailure('away', { isFinal: true })
  }
  return { hook: { name: 'pager', deliver }, tried }
}

test('a hook that is away is tried at once for three looks more, then later and later, and given up after 20', async () => {
  const { hook, tried } = hookOf(Number.POSITIVE_INFINITY)
  const troubles: string[] = []
  let nowMs = 0
  const telling = new Telling({ hooks: [hook], nowMs: () => nowMs, onTrouble: (reason) => troubles.push(reason) })
  let known: readonly KnownMatch[] = [match]
  const triedAt: number[] = []
  while (known[0]?.untold.length !== 0) {
    telling.begin()
    const before = tried.length
    known = await telling.tellEach(known, alarm, signal)
    if (tried.length > before) triedAt.push(nowMs)
    nowMs += 1_000
  }
  expect(triedAt.slice(0, 7)).toEqual([0, 1_000, 2_000, 3_000, 19_000, 51_000, 115_000])
  expect(triedAt).toHaveLength(20)
  expect((triedAt.at(-1) ?? 0) / 3_600_000).toBeGreaterThan(9)
  expect(known).toMatchObject([{ told: [], attempts: 20 }])
  expect(troubles.at(-1)).toBe('telling of WATCH_X is given up after 20 looks')
  // Whoever never heard of it does not hear of its end.
  expect(closingsOf(known, nowMs)).toEqual([])
})

test('in a look a hook that failed is not tried for each alarm; another has all', async () => {
  const [away, well] = [hookOf(1), hookOf(0)]
  const hooks = [away.hook, { ...well.hook, name: 'other' }]
  const telling = new Telling({ hooks, nowMs: () => 0, onTrouble: () => {} })
  const all = ['a', 'b'].map((id) => ({ ...match, id, untold: ['pager', 'other'] }))
  const first = await telling.tellEach(all, alarm, signal)
  expect([away.tried, well.tried]).toEqual([['a_opened'], ['a_opened', 'b_opened']])
  expect(unsettled(first).map(({ untold }) => untold)).toEqual([['pager'], ['pager']])
  telling.begin()
  const second = await telling.tellEach(first, alarm, signal)
  expect(away.tried).toEqual(['a_opened', 'a_opened', 'b_opened'])
  expect(unsettled(second)).toEqual([])
  expect(await telling.tellEach(second, alarm, signal)).toBe(second)
})
