import { encodeUtf8 } from '../../tlog/bytes.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { compileRule, type EntryTest, parsePointers, pointersOf } from './conditions.ts'
import type { EntryFacts, EntryMember, Pointer, WatchedEntry } from './entry.ts'
import { GroupKeys } from './group-keys.ts'
import { JsonReader } from './json-reader.ts'
import { parseRules, type Rule, type RulesFile, type Severity } from './rules-file.ts'
import { Seen } from './seen.ts'
import { Windows } from './windows.ts'

/** An entry that a rule has to tell of. */
export type RuleMatch = {
  readonly rule: string
  readonly severity: Severity
  readonly description: string | undefined
  readonly because: Because
  /** What belongs together: the members of the entry that the rule counts or remembers by, else the actor. */
  readonly group: Readonly<Partial<Record<EntryMember, string>>>
  /** The same for each match of rule and group: 16 characters. */
  readonly groupKey: string
  readonly entry: EntryFacts
}

export type Because =
  | { readonly kind: 'match' }
  | { readonly kind: 'threshold'; readonly count: number; readonly withinSeconds: number }
  | { readonly kind: 'firstSeen' }

/** Rules at work. They do nothing by themselves, and what they say depends on the entries only, not on when they come. */
export type Rules = {
  readonly names: readonly string[]
  /** Where in payloads they look: `watchedEntry` takes that out of a payload. */
  readonly pointers: readonly Pointer[]
  /** What has to be told of these entries, each later than those before, in their order and that of the rules. */
  readonly take: (entries: readonly WatchedEntry[]) => readonly RuleMatch[]
  /** What `openRules` goes on from: JSON. Texts of entries are in it as hashes only. */
  readonly formatState: () => string
  /** Rules that had to forget groups or values, and how many: they may tell of those once more. */
  readonly forgotten: () => ReadonlyMap<string, number>
}

export type OpenRulesOptions = {
  readonly hash: Sha256
  /** Of `formatState`, of these or other rules: those that are the same now go on from it. */
  readonly state?: string | undefined
}

/** Of all rules of a file together; each has an equal part. */
const remembered = { keys: 200_000, times: 400_000, groups: 100_000 }
const ofRuleMax = { keys: 100_000, times: 100_000, groups: 10_000 }
const stateBytesMax = 67_108_864

/** Makes rules of the text of a file. Throws RulesError with the place of what cannot be used. */
export function openRules(file: Uint8Array, options: OpenRulesOptions): Rules {
  return startRules(parseRules(file), options)
}

function startRules({ clock, rules }: RulesFile, { hash, state }: OpenRulesOptions): Rules {
  const texts = pointersOf(rules)
  const former = state === undefined ? new Map<string, JsonReader>() : readState(state)
  const bounds = boundsOf(rules)
  const keys = new GroupKeys(hash)
  const working = rules.map((rule) => workingRule(rule, texts, bounds, former, keys))
  return {
    names: rules.map(({ name }) => name),
    pointers: parsePointers(texts),
    take: (entries) => entries.flatMap((entry) => takeEntry(working, entry, timeOf(entry, clock), keys)),
    formatState: () => JSON.stringify({ format: 1, rules: Object.fromEntries(working.map(stateOf)) }),
    forgotten: () =>
      new Map(working.map(({ rule, memory }) => [rule.name, memory?.forgotten ?? 0] as const).filter(([, n]) => n > 0)),
  }
}

/** A rule with what it remembers. */
type WorkingRule = {
  readonly rule: Rule
  readonly definition: string
  readonly fits: EntryTest
  readonly by: readonly EntryMember[]
  readonly because: Because
  readonly memory: Windows | Seen | undefined
}

type Bounds = { readonly keys: number; readonly times: number; readonly groups: number }

function boundsOf(rules: readonly Rule[]): Bounds {
  const firstSeen = rules.filter((rule) => rule.firstSeen !== undefined).length
  const thresholds = rules.filter((rule) => rule.threshold !== undefined).length
  return {
    keys: Math.min(ofRuleMax.keys, Math.floor(remembered.keys / Math.max(1, firstSeen))),
    times: Math.min(ofRuleMax.times, Math.floor(remembered.times / Math.max(1, thresholds))),
    groups: Math.min(ofRuleMax.groups, Math.floor(remembered.groups / Math.max(1, thresholds))),
  }
}

function workingRule(
  rule: Rule,
  pointers: readonly string[],
  bounds: Bounds,
  former: ReadonlyMap<string, JsonReader>,
  keys: GroupKeys,
): WorkingRule {
  const { threshold, firstSeen } = rule
  const definition = keys.keyOf([rule.definition])
  const state = former.get(definition)
  const base = { rule, definition, fits: compileRule(rule, pointers) }
  if (threshold !== undefined) {
    const { count, withinSeconds, by } = threshold
    const groupsMax = Math.min(bounds.groups, Math.max(1, Math.floor(bounds.times / count)))
    const options = { count, withinUs: withinSeconds * 1e6, groupsMax }
    const memory = state === undefined ? new Windows(options) : Windows.parse(state, options)
    return { ...base, by, because: { kind: 'threshold', count, withinSeconds }, memory }
  }
  if (firstSeen !== undefined) {
    const options = { learnUs: firstSeen.learnSeconds * 1e6, keysMax: bounds.keys }
    const memory = state === undefined ? new Seen(options) : Seen.parse(state, options)
    return { ...base, by: firstSeen.of, because: { kind: 'firstSeen' }, memory }
  }
  return { ...base, by: ['actorId'], because: { kind: 'match' }, memory: undefined }
}

/** A claim of the sender is not believed where it lies in the future: it would silence what comes until then. */
function timeOf({ timestamp, occurredAt }: WatchedEntry, clock: RulesFile['clock']): number {
  return clock === 'timestamp' || occurredAt === null ? timestamp : Math.min(occurredAt, timestamp)
}

function takeEntry(
  working: readonly WorkingRule[],
  entry: WatchedEntry,
  timeUs: number,
  keys: GroupKeys,
): readonly RuleMatch[] {
  const matches: RuleMatch[] = []
  for (const { rule, fits, by, because, memory } of working) {
    if (!fits(entry)) continue
    const { name, severity, description } = rule
    const groupKey = keys.keyOf(by.map((member) => entry[member]))
    if (memory !== undefined && !memory.add(groupKey, timeUs)) continue
    const { values: _, ...facts } = entry
    const group = Object.fromEntries(by.map((member) => [member, entry[member]]))
    matches.push({ rule: name, severity, description, because, group, groupKey, entry: facts })
  }
  return matches
}

function stateOf({ definition, memory }: WorkingRule): readonly [string, unknown] {
  return [definition, memory?.format() ?? {}]
}

function readState(state: string): ReadonlyMap<string, JsonReader> {
  const file = JsonReader.parse(encodeUtf8(state), stateBytesMax)
  const members = file.members(['format', 'rules'])
  members.get('format')?.integer(1, 1)
  return members.get('rules')?.members() ?? new Map()
}
