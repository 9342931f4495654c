import { describeMatch, violationTypeOf } from './describe-match.ts'
import type { RuleMatch } from './open-rules.ts'

/** Matches of a rule, a group and an action that are told together: the first of them for all. */
export type GatheredMatches = {
  readonly match: RuleMatch
  /** Of its kind: the group, or `more` for all beyond what is told one by one. */
  readonly place: string
  readonly count: number
}

/** Of a rule at once; what others there are counts together. */
const groupsMax = 20
/** Of a rule at once; further actions of a group count with its first. */
const actionsMax = 100

/** Matches of the same rule, group and action together. */
export function gatherMatches(matches: readonly RuleMatch[]): readonly GatheredMatches[] {
  const gathered = new Map<string, GatheredMatches>()
  const rules = new Map<string, { readonly places: Map<string, string>; actions: number }>()
  for (const match of matches) {
    const rule = rules.get(match.rule) ?? { places: new Map<string, string>(), actions: 0 }
    rules.set(match.rule, rule)
    const place = rule.places.has(match.groupKey) || rule.places.size < groupsMax ? match.groupKey : 'more'
    const ownKey = `${match.rule} ${place} ${match.entry.action}`
    const firstKey = rule.places.get(place) ?? ownKey
    const key = gathered.has(ownKey) || rule.actions < actionsMax ? ownKey : firstKey
    const known = gathered.get(key)
    if (known === undefined) rule.actions++
    rule.places.set(place, firstKey)
    gathered.set(key, known ? { ...known, count: known.count + 1 } : { match, place, count: 1 })
  }
  return [...gathered.values()]
}

/** What those are told who must know of it. Its severity is in the evidence, where hooks look for it. */
export type MatchFinding = {
  readonly violationType: string
  readonly place: string
  readonly sequenceNumber: number
  readonly detail: string
  readonly evidence: Readonly<Record<string, unknown>>
}

export function findingOfMatches({ match, place, count }: GatheredMatches): MatchFinding {
  const { rule, severity, description, because, group, entry } = match
  const described = description === undefined ? {} : { description }
  return {
    violationType: violationTypeOf(match),
    place,
    sequenceNumber: entry.sequenceNumber,
    detail: describeMatch(match),
    evidence: { rule, severity, ...described, because, group, entry, matches: count },
  }
}
