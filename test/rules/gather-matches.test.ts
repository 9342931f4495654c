import { expect, test } from 'vitest'
import { gatherMatches } from '../../src/rules/gather-matches.ts'
import type { RuleMatch } from '../../src/rules/open-rules.ts'
import { entriesOf, ruleOf } from './events.ts'

const told = (matches: readonly RuleMatch[]): unknown[] =>
  gatherMatches(matches).map(({ match, place, count }) => [
    match.entry.actorId,
    match.entry.action,
    place === 'more',
    count,
  ])

function acts(pairs: readonly (readonly [string, string])[]): readonly RuleMatch[] {
  const rules = ruleOf({ match: { action: '*' } })
  const events = pairs.map(([actorId, action]) => ({ actorId, action }))
  return rules.take(entriesOf(rules, events))
}

test('matches of a rule are told once an actor and action, in their order', () => {
  const matches = acts([
    ['eve', 'DeleteTrail'],
    ['eve', 'DeleteTrail'],
    ['eve', 'DeleteFlowLogs'],
    ['bob', 'DeleteTrail'],
    ['eve', 'DeleteTrail'],
  ])
  expect(told(matches)).toEqual([
    ['eve', 'DeleteTrail', false, 3],
    ['eve', 'DeleteFlowLogs', false, 1],
    ['bob', 'DeleteTrail', false, 1],
  ])
})

test('beyond twenty actors and a hundred actions they count together', () => {
  const many = Array.from({ length: 300 }, (_, i) => ['eve', `action-${i}`] as const)
  const lines = told(acts(many))
  expect(lines).toHaveLength(100)
  expect(lines[0]).toEqual(['eve', 'action-0', false, 201])
  const crowd = told(acts(Array.from({ length: 300 }, (_, i) => [`actor-${i}`, 'x'] as const)))
  expect(crowd).toHaveLength(21)
  expect(crowd.at(-1)).toEqual(['actor-20', 'x', true, 280])
})
