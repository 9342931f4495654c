import { expect, test } from 'vitest'
import { emptyState, type FullPass, type Look } from '../../src/audit/verifier-state.ts'
import { whyUnsure } from '../../src/cli/verify/status.ts'

// When a verifier that found nothing has not said that there is nothing. Times in milliseconds.

const withinMs = 1_000
const checked: Look = { checkedMs: 100, missed: null, dueMs: null }
const pass: FullPass = { startedMs: 300, endedMs: 500, size: 7, isComplete: true, findings: [] }

test.each<[string, Look, FullPass | null, number, RegExp | undefined]>([
  ['one that never looked', emptyState.look, null, 1, /nothing has been checked/],
  ['one of a job that looked of late', checked, null, 1_100, undefined],
  ['one of a job that has not looked for longer than all is to be hashed again', checked, null, 1_101, /nothing was/],
  ['one that is to look soon', { ...checked, dueMs: 150 }, null, 150, undefined],
  ['one that is overdue', { ...checked, dueMs: 150 }, null, 151, /1970-01-01T00:00:00.100Z nothing was checked/],
  ['one that could not check all', { ...checked, missed: 'no keys' }, null, 110, /could be checked: no keys/],
  ['a full pass alone', emptyState.look, pass, 1_500, undefined],
  ['a full pass long ago', emptyState.look, pass, 1_501, /nothing was checked/],
  ['a full pass that missed something', emptyState.look, { ...pass, isComplete: false }, 501, /nothing has been/],
  ['a full pass after rounds that could not check all', { ...checked, missed: 'no keys' }, pass, 600, undefined],
])('%s', (_, look, full, nowMs, want) => {
  const unsure = whyUnsure({ ...emptyState, look, full }, withinMs, nowMs)
  if (want === undefined) expect(unsure).toBeUndefined()
  else expect(unsure).toMatch(want)
})
