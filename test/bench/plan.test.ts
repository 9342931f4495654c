import { expect, test } from 'vitest'
import { readPlan, resultsFileOf } from '../../bench/plan.ts'

test.each([
  [[], 'results.md'],
  [['--quick'], 'results-quick.md'],
  [['--only', 'hashing'], undefined],
  [['--quick', '--only', 'hashing'], undefined],
])('a run with %j writes its table to %s', (args, file) => {
  expect(resultsFileOf(readPlan(args))).toBe(file)
})
