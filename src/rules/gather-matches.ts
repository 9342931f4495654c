import { describeMatch, violationTypeOf } from './describe-match.ts'
import type { RuleMatch } from './open-rules.ts'

/** Matches of a rule and a group that are told together: the first of them for all. */
export type GatheredMatches = {
  readonly match: RuleMatch
  /** Of its kind: the group, or `more` for all beyond what is told one by one. */
  readonly place: string
  readonly count: number
}

/** Of a rule at once; what others there are counts together. */
const groupsMax = 20

/** Matches of the same rule and group together. */
export function gatherMatches(matches: readonly RuleMatch[]): readonly GatheredMatches[] {
  const gathered = new Map<string, GatheredMatches>()
  const groupsOf = new Map<string, number>()
  for (const match of matches) {
    const { rule, groupKey } = match
    const groups = groupsOf.get(rule) ?? 0
    const place = gathered.has(`${rule} ${groupKey}`) || groups < groupsMax ? groupKey : 'more'
    const known = gathered.get(`${rule} ${place}`)
    if (known === undefined) groupsOf.set(rule, groups + 1)
    gathered.set(`${rule} ${place}`, known ? { ...known, count: known.count + 1 } : { match, place, count: 1 })
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
