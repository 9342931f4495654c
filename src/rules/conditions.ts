import { type EntryMember, type Pointer, parsePointer, type WatchedEntry } from './entry.ts'
import { compilePatterns, literalStart } from './pattern.ts'
import { type Conditions, conditionsOf, type PayloadCondition, type Rule } from './rules-file.ts'

export type EntryTest = (entry: WatchedEntry) => boolean

/** Begins with it: an act of the log itself. */
const ownPrefix = 'dendrolog.'
/** What a match leads to. A rule that matched it would go on for ever. */
const openingAction = 'dendrolog.incident.open'

/** Pointers of all rules, each once, in a fixed order. */
export function pointersOf(rules: readonly Rule[]): readonly string[] {
  const all = rules.flatMap(conditionsOf).flatMap(({ payload }) => payload)
  return [...new Set(all.map(({ pointer }) => pointer))].sort()
}

export function parsePointers(texts: readonly string[]): readonly Pointer[] {
  return texts.map((text) => parsePointer(text) ?? [])
}

/**
 * Whether an entry fits a rule, by what it says itself. The log's own acts fit rules that name them (`dendrolog.…`) and
 * no others: most of them tell of what somebody did with the log.
 */
export function compileRule({ match, not }: Rule, pointers: readonly string[]): EntryTest {
  const fits = compileConditions(match, pointers)
  const exclusions = not.map((conditions) => compileConditions(conditions, pointers))
  const namesOwn = match.members.some(
    ({ member, patterns }) => member === 'action' && patterns.some((each) => literalStart(each).startsWith(ownPrefix)),
  )
  return (entry) => {
    if (entry.action.startsWith(ownPrefix) && (!namesOwn || entry.action === openingAction)) return false
    return fits(entry) && !exclusions.some((excludes) => excludes(entry))
  }
}

function compileConditions({ members, payload }: Conditions, pointers: readonly string[]): EntryTest {
  const tests = [
    ...members.map(({ member, patterns }) => memberTest(member, patterns)),
    ...payload.map(({ pointer, condition }) => payloadTest(pointers.indexOf(pointer), condition)),
  ]
  return (entry) => tests.every((test) => test(entry))
}

function memberTest(member: EntryMember, patterns: readonly string[]): EntryTest {
  const test = compilePatterns(patterns) ?? (() => false)
  return (entry) => test(entry[member])
}

function payloadTest(place: number, condition: PayloadCondition): EntryTest {
  if (condition.kind === 'exists') return ({ values }) => (values[place] !== undefined) === condition.exists
  const isOfPatterns = compilePatterns(condition.patterns) ?? (() => false)
  const scalars = new Set<unknown>(condition.values)
  return ({ values }) => {
    const value = values[place]
    return typeof value === 'string' ? isOfPatterns(value) : scalars.has(value)
  }
}
