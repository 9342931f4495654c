import { jcs } from '../../tlog/jcs.ts'
import { type EntryMember, entryMembers, parsePointer } from './entry.ts'
import { JsonReader } from './json-reader.ts'
import { compilePatterns, patternUnitsMax } from './pattern.ts'

// What a rules file says. The limits keep what a file asks for within a fixed memory, whatever the log has.

/** How much a match matters, in the words of PagerDuty. */
export const severities = ['critical', 'error', 'warning', 'info'] as const
export type Severity = (typeof severities)[number]

/** The time by which windows and learning go: of the sequencer, or the sender's claim. */
export const clocks = ['timestamp', 'occurredAt'] as const
export type Clock = (typeof clocks)[number]

/** One of these: texts as patterns, anything else as it is. */
export type PayloadCondition =
  | { readonly kind: 'oneOf'; readonly patterns: readonly string[]; readonly values: readonly Scalar[] }
  | { readonly kind: 'exists'; readonly exists: boolean }

export type Scalar = number | boolean | null

/** All of them must hold. */
export type Conditions = {
  readonly members: readonly { readonly member: EntryMember; readonly patterns: readonly string[] }[]
  readonly payload: readonly { readonly pointer: string; readonly condition: PayloadCondition }[]
}

export type Threshold = {
  readonly count: number
  readonly withinSeconds: number
  readonly by: readonly EntryMember[]
}

export type FirstSeen = { readonly of: readonly EntryMember[]; readonly learnSeconds: number }

export type Rule = {
  readonly name: string
  readonly description: string | undefined
  readonly severity: Severity
  readonly match: Conditions
  /** None of them may hold. */
  readonly not: readonly Conditions[]
  readonly threshold: Threshold | undefined
  readonly firstSeen: FirstSeen | undefined
  /** What decides whether it matches, in one spelling: what a rule remembers is of this definition. */
  readonly definition: string
}

export type RulesFile = { readonly clock: Clock; readonly rules: readonly Rule[] }

export const rulesBytesMax = 1_048_576
export const rulesMax = 200
const listMax = 1_000
const notMax = 20
/** Each is cut out of each payload. */
const pointersOfRuleMax = 16
const pointersMax = 64
const descriptionUnitsMax = 500
const daySeconds = 86_400
export const thresholdCountMax = 1_000
const secondsMax = 366 * daySeconds
const pointerUnitsMax = 500
/** Upper-case letters, digits and `_` make the type of its incidents: no two names may give the same. */
const namePattern = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/
const nameUnitsMax = 50

/** Throws RulesError with the place. */
export function parseRules(bytes: Uint8Array): RulesFile {
  const file = JsonReader.parse(bytes, rulesBytesMax)
  const members = file.members(['time', 'rules'])
  const clock = members.get('time')?.oneOf(clocks) ?? 'timestamp'
  const list = members.get('rules') ?? file.refuse('the member rules')
  const names = new Set<string>()
  const rules = list.elements(1, rulesMax).map((rule) => {
    const read = readRule(rule, clock)
    if (names.has(read.name)) rule.refuse(`a name that no other rule has (${read.name})`)
    names.add(read.name)
    return read
  })
  const pointers = new Set(rules.flatMap(conditionsOf).flatMap(({ payload }) => payload.map(({ pointer }) => pointer)))
  if (pointers.size > pointersMax) list.refuse(`${pointersMax} payload members at most in all rules`)
  return { clock, rules }
}

/** All that a rule compares an entry with. */
export function conditionsOf({ match, not }: Pick<Rule, 'match' | 'not'>): readonly Conditions[] {
  return [match, ...not]
}

const ruleMembers = ['name', 'description', 'severity', 'match', 'not', 'threshold', 'firstSeen']

function readRule(rule: JsonReader, clock: Clock): Rule {
  const members = rule.members(ruleMembers)
  const need = (name: string): JsonReader => members.get(name) ?? rule.refuse(`the member ${name}`)
  const [threshold, firstSeen] = [members.get('threshold'), members.get('firstSeen')]
  if (threshold !== undefined && firstSeen !== undefined) firstSeen.refuse('either threshold or firstSeen')
  const match = readConditions(need('match'))
  const not = members.get('not')?.oneOrMore(notMax).map(readExclusion) ?? []
  const pointers = new Set(conditionsOf({ match, not }).flatMap(({ payload }) => payload.map(({ pointer }) => pointer)))
  if (pointers.size > pointersOfRuleMax) rule.refuse(`${pointersOfRuleMax} payload members at most in one rule`)
  return {
    name: readName(need('name')),
    description: members.get('description')?.text(descriptionUnitsMax),
    severity: members.get('severity')?.oneOf(severities) ?? 'warning',
    ...{ match, not },
    threshold: threshold && readThreshold(threshold),
    firstSeen: firstSeen && readFirstSeen(firstSeen),
    definition: jcs({
      clock,
      ...Object.fromEntries([...members].filter(isOfMemory).map(([k, { value }]) => [k, value])),
    }),
  }
}

/** What is only for people may change without a rule beginning anew. */
function isOfMemory([name]: readonly [string, JsonReader]): boolean {
  return name !== 'description' && name !== 'severity'
}

function readName(name: JsonReader): string {
  const text = name.text(nameUnitsMax)
  return namePattern.test(text) ? text : name.refuse('lower-case letters and digits in words joined by "-"')
}

function readConditions(conditions: JsonReader): Conditions {
  const members = conditions.members([...entryMembers, 'payload'])
  const payload = [...(members.get('payload')?.members() ?? [])]
  return {
    members: entryMembers.flatMap((member) => {
      const patterns = members.get(member)
      return patterns === undefined ? [] : [{ member, patterns: patterns.oneOrMore(listMax).map(readPattern) }]
    }),
    payload: payload.map(([pointer, condition]) => {
      if (pointer.length > pointerUnitsMax || parsePointer(pointer) === undefined) {
        condition.refuse(`a JSON pointer as name, like "/errorCode" (${JSON.stringify(pointer.slice(0, 80))})`)
      }
      return { pointer, condition: readPayloadCondition(condition) }
    }),
  }
}

/** One that excludes everything is a mistake. */
function readExclusion(exclusion: JsonReader): Conditions {
  const conditions = readConditions(exclusion)
  const isEmpty = conditions.members.length + conditions.payload.length === 0
  return isEmpty ? exclusion.refuse('a condition') : conditions
}

function readPayloadCondition(condition: JsonReader): PayloadCondition {
  const { value } = condition
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const exists = condition.members(['exists']).get('exists') ?? condition.refuse('the member exists')
    return { kind: 'exists', exists: exists.boolean() }
  }
  const choices = condition.oneOrMore(listMax)
  const patterns = choices.filter((choice) => typeof choice.value === 'string').map(readPattern)
  const values = choices.filter((choice) => typeof choice.value !== 'string').map(readScalar)
  return { kind: 'oneOf', patterns, values }
}

function readScalar(choice: JsonReader): Scalar {
  const { value } = choice
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value
  return choice.refuse('a text, number, true, false or null')
}

function readPattern(pattern: JsonReader): string {
  const text = pattern.text(patternUnitsMax)
  return compilePatterns([text]) === undefined ? pattern.refuse('a character behind the last backslash') : text
}

function readThreshold(threshold: JsonReader): Threshold {
  const members = threshold.members(['count', 'withinSeconds', 'by'])
  const need = (name: string): JsonReader => members.get(name) ?? threshold.refuse(`the member ${name}`)
  const by = members.get('by')
  return {
    count: need('count').integer(2, thresholdCountMax),
    withinSeconds: need('withinSeconds').integer(1, secondsMax),
    by: by === undefined ? ['actorId'] : readMembers(by, 0),
  }
}

/** `"clientIp"`, `["actorId", "clientIp"]`, or an object with that as `of`. */
function readFirstSeen(firstSeen: JsonReader): FirstSeen {
  const { value } = firstSeen
  if (typeof value === 'string') return { of: [firstSeen.oneOf(entryMembers)], learnSeconds: daySeconds }
  if (Array.isArray(value)) return { of: readMembers(firstSeen, 1), learnSeconds: daySeconds }
  const members = firstSeen.members(['of', 'learnSeconds'])
  const of = members.get('of') ?? firstSeen.refuse('the member of')
  return {
    of: typeof of.value === 'string' ? [of.oneOf(entryMembers)] : readMembers(of, 1),
    learnSeconds: members.get('learnSeconds')?.integer(0, secondsMax) ?? daySeconds,
  }
}

/** In their order in an entry. */
function readMembers(list: JsonReader, min: number): readonly EntryMember[] {
  const names = list.elements(min, entryMembers.length).map((name) => name.oneOf(entryMembers))
  if (new Set(names).size < names.length) list.refuse('each member once')
  return entryMembers.filter((member) => names.includes(member))
}
