import type { RuleMatch } from './open-rules.ts'

/** A match in a sentence, for people. Nothing in it is of a payload; the texts are those of strangers. */
export function describeMatch({ rule, because, group, entry }: RuleMatch): string {
  const { action, resource, actorId, clientIp } = entry
  const members = Object.entries(group)
  const named = members.map(([member, text]) => `${member} ${JSON.stringify(text)}`).join(', ')
  const what = `${JSON.stringify(action)} of ${JSON.stringify(resource)} by ${JSON.stringify(actorId)} from ${clientIp}`
  switch (because.kind) {
    case 'match':
      return `${rule}: ${what}`
    case 'firstSeen':
      return `${rule}: first seen ${named}: ${what}`
    case 'threshold':
      return `${rule}: ${because.count} or more within ${because.withinSeconds} s${named && ` of ${named}`}, the last ${what}`
  }
}

/** The type of its incidents: rules of those who are told key on it. */
export function violationTypeOf({ rule }: Pick<RuleMatch, 'rule'>): string {
  return `WATCH_${rule.toUpperCase().replaceAll('-', '_')}`
}
