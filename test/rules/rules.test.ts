import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describeMatch, violationTypeOf } from '../../src/rules/describe-match.ts'
import { RulesError } from '../../src/rules/json-reader.ts'
import { entriesOf, type MadeEvent, matchedBy, namesOf, ruleOf, rulesOf } from './events.ts'

test('all conditions of a rule must hold, and none that it excludes', () => {
  const rules = ruleOf({
    match: { action: ['iam.*', 'sts.AssumeRole'], actorId: '*/bob' },
    not: [{ resource: 'test/*' }, { clientIp: '10.*', writer: 'token:x' }],
  })
  const bob = { actorId: 'user/bob', action: 'iam.CreateUser' }
  expect(
    matchedBy(rules, [
      ...[bob, { ...bob, actorId: 'bob' }, { ...bob, action: 'sts.Get' }, { ...bob, action: 'sts.AssumeRole' }],
      ...[
        { ...bob, resource: 'test/1' },
        { ...bob, clientIp: '10.0.0.1' },
      ],
      { ...bob, clientIp: '10.0.0.1', writer: 'token:x' },
    ]),
  ).toEqual([1, 4, 6])
})

test('payload members are compared by pattern, by value, and by whether they are there', () => {
  const seen = (condition: unknown): readonly number[] =>
    matchedBy(
      ruleOf({ match: { payload: { '/a/b': condition } } }),
      [{ a: { b: 'x1' } }, { a: { b: 1 } }, { a: { b: null } }, { a: { b: {} } }, { a: [] }, {}, { 'a/b': 'x1' }].map(
        (payload) => ({ payload }),
      ),
    )
  expect(seen('x?')).toEqual([1])
  expect(seen([1, null, 'y'])).toEqual([2, 3])
  expect(seen('1')).toEqual([])
  expect(seen({ exists: true })).toEqual([1, 2, 3, 4])
  expect(seen({ exists: false })).toEqual([5, 6, 7])
  const deep = ruleOf({ match: { payload: { '/l/1/~1~0': true } } })
  expect(matchedBy(deep, [{ payload: { l: [0, { '/~': true }] } }, { payload: { l: { 1: { '/~': true } } } }])).toEqual(
    [1, 2],
  )
})

test('of a long text of a payload the first 4,096 characters are looked at', () => {
  const rules = ruleOf({ match: { payload: { '/t': '*z' } } })
  expect(
    matchedBy(rules, [
      { payload: { t: `${'\u{1f332}'.repeat(4_095)}z!` } },
      { payload: { t: `${'\u{1f332}'.repeat(4_096)}z` } },
    ]),
  ).toEqual([1])
})

test('acts of the log itself match only rules that name them, and what a match leads to none', () => {
  const acts = ['dendrolog.token.create', 'dendrolog.incident.open', 'doc.read'].map((action) => ({ action }))
  expect(matchedBy(ruleOf({ match: { action: '*' } }), acts)).toEqual([3])
  expect(matchedBy(ruleOf({ match: { action: ['dendrolog.*', 'x'] } }), acts)).toEqual([1])
})

test('a burst is told at the entry that completes it, and while it lasts once a window', () => {
  const rules = ruleOf({ threshold: { count: 3, withinSeconds: 10, by: ['actorId'] } })
  expect(matchedBy(rules, Array<MadeEvent>(30).fill({}))).toEqual([3, 14, 25])
})

test('entries further apart than the window are no burst', () => {
  const rules = ruleOf({ threshold: { count: 3, withinSeconds: 10 } })
  const at = (...seconds: number[]): readonly MadeEvent[] => seconds.map((s) => ({ timestamp: s * 1e6 }))
  expect(matchedBy(rules, at(0, 6, 11, 17, 21))).toEqual([5])
})

test('groups are counted apart', () => {
  const rules = ruleOf({ threshold: { count: 2, withinSeconds: 100, by: ['clientIp', 'actorId'] } })
  const events = ['a', 'b', 'c', 'b', 'a'].map((actorId) => ({ actorId }))
  const matches = rules.take(entriesOf(rules, events))
  expect(matches.map(({ entry, group }) => [entry.sequenceNumber, group])).toEqual([
    [4, { actorId: 'b', clientIp: '192.0.2.1' }],
    [5, { actorId: 'a', clientIp: '192.0.2.1' }],
  ])
  expect(matches[0]?.groupKey).toMatch(/^[A-Za-z0-9+/]{16}$/)
  expect(matches[0]?.groupKey).not.toBe(matches[1]?.groupKey)
})

test('by occurredAt windows go by what the sender says, in any order, but not beyond now', () => {
  const rule = { threshold: { count: 3, withinSeconds: 10, by: [] } }
  const at = (...seconds: number[]): readonly MadeEvent[] => {
    return seconds.map((s) => ({ timestamp: 1_000e6, occurredAt: s * 1e6 }))
  }
  expect(matchedBy(ruleOf(rule), at(100, 200, 300))).toEqual([3])
  expect(matchedBy(ruleOf(rule, { time: 'occurredAt' }), at(100, 200, 300))).toEqual([])
  expect(matchedBy(ruleOf(rule, { time: 'occurredAt' }), at(105, 30, 101, 98))).toEqual([4])
  // One that claims to be of next year does not silence what comes until then.
  expect(matchedBy(ruleOf(rule, { time: 'occurredAt' }), at(9_999, 995, 996))).toEqual([3])
})

test('what is first seen is told once, after a time of learning', () => {
  const rules = ruleOf({ firstSeen: { of: ['actorId', 'clientIp'], learnSeconds: 3 } })
  const events = [{}, { actorId: 'bob' }, {}, {}, { clientIp: '192.0.2.2' }, { actorId: 'bob' }, { actorId: 'eve' }]
  expect(matchedBy(rules, [...events, ...events])).toEqual([5, 7])
  expect(matchedBy(ruleOf({ firstSeen: 'action' }), [{}, { action: 'x', timestamp: 86_401e6 }])).toEqual([2])
})

test('what is too much to remember pushes out what is oldest, and that is told of', () => {
  const rules = ruleOf({ firstSeen: { of: 'resource', learnSeconds: 0 } })
  const events = Array.from({ length: 100_001 }, (_, i) => ({ resource: `r${i}` }))
  expect(rules.take(entriesOf(rules, events))).toHaveLength(100_001)
  expect(rules.forgotten()).toEqual(new Map([['r', 1]]))
  expect(matchedBy(rules, [{ resource: 'r100000' }, { resource: 'r1' }, { resource: 'r0' }])).toEqual([3])
  const groups = ruleOf({ threshold: { count: 1_000, withinSeconds: 1_000_000, by: ['resource'] } })
  groups.take(entriesOf(groups, events.slice(0, 101)))
  expect(groups.forgotten()).toEqual(new Map([['r', 1]]))
})

const file = {
  rules: [
    { name: 'plain', match: { action: 'w*' } },
    { name: 'burst', match: {}, threshold: { count: 3, withinSeconds: 5, by: ['actorId'] } },
    { name: 'all', match: { payload: { '/k': [1, 'x*'] } }, threshold: { count: 2, withinSeconds: 9, by: [] } },
    { name: 'new', match: {}, firstSeen: { of: ['actorId', 'clientIp'], learnSeconds: 4 } },
  ],
}

const arbitraryEvents = fc.array(
  fc.record({
    actorId: fc.constantFrom('a', 'b', 'c'),
    action: fc.constantFrom('read', 'write'),
    clientIp: fc.constantFrom('192.0.2.1', '192.0.2.2'),
    occurredAt: fc.option(fc.integer({ min: 0, max: 40 }).map((s) => s * 1e6)),
    payload: fc.constantFrom({}, { k: 1 }, { k: 'xy' }, { k: 'z' }),
  }),
  { maxLength: 40 },
)

test.each(['timestamp', 'occurredAt'])('neither batches nor starts in between change what matches (by %s)', (time) => {
  fc.assert(
    fc.property(arbitraryEvents, fc.array(fc.nat(40), { maxLength: 5 }), (events, cuts) => {
      const whole = rulesOf({ time, ...file })
      const expected = namesOf(whole.take(entriesOf(whole, events)))
      const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, events.length)), events.length])].sort(
        (a, b) => a - b,
      )
      const [batched, states] = [rulesOf({ time, ...file }), [rulesOf({ time, ...file }).formatState()]]
      const inBatches: string[] = []
      const withStarts: string[] = []
      for (const [i, from] of places.slice(0, -1).entries()) {
        const entries = entriesOf(batched, events.slice(from, places[i + 1]), from + 1)
        inBatches.push(...namesOf(batched.take(entries)))
        const started = rulesOf({ time, ...file }, states.at(-1))
        withStarts.push(...namesOf(started.take(entries)))
        states.push(started.formatState())
      }
      expect(inBatches).toEqual(expected)
      expect(withStarts).toEqual(expected)
      expect(states.at(-1)).toBe(batched.formatState())
    }),
  )
})

test('a rule that is another one now begins anew, and the others go on', () => {
  const [kept, changed] = [
    { name: 'kept', match: {}, threshold: { count: 2, withinSeconds: 100 } },
    { name: 'changed', match: {}, threshold: { count: 2, withinSeconds: 100 } },
  ]
  const before = rulesOf({ rules: [kept, changed] })
  before.take(entriesOf(before, [{}]))
  const after = rulesOf(
    {
      rules: [
        { ...changed, match: { action: '*' } },
        { ...kept, severity: 'info' },
      ],
    },
    before.formatState(),
  )
  expect(namesOf(after.take(entriesOf(after, [{}], 2)))).toEqual(['kept 2'])
})

test('a state holds nothing of entries, and one that is damaged is refused', () => {
  const rules = rulesOf(file)
  rules.take(entriesOf(rules, [{ actorId: 'marker', payload: { k: 'xmarker' } }]))
  expect(rules.formatState()).not.toContain('marker')
  const state = rules.formatState()
  expect(() => rulesOf(file, state.replace('"groups":[', '"groups":[7,'))).toThrow(RulesError)
  expect(() => rulesOf(file, state.slice(1))).toThrow(RulesError)
  expect(() => rulesOf(file, state.replace('"format":1', '"format":2'))).toThrow(RulesError)
})

test('a match is told in a sentence, and its type is the name of the rule', () => {
  const rules = ruleOf({ name: 'denied-burst', threshold: { count: 2, withinSeconds: 60 } })
  const [match] = rules.take(entriesOf(rules, [{}, { payload: { secret: 'do not show' } }]))
  if (match === undefined) throw new Error('no match')
  expect(violationTypeOf(match)).toBe('WATCH_DENIED_BURST')
  expect(describeMatch(match)).toBe(
    'denied-burst: 2 or more within 60 s of actorId "alice", the last "doc.read" of "doc/1" by "alice" from 192.0.2.1',
  )
  expect(JSON.stringify(match)).not.toContain('do not show')
})
