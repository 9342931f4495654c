/**
 * The export list of `dendrolog/rules`: watch rules over the entries that a monitor of `dendrolog/client` has checked. For
 * Node and browsers. The folder's own files import each other, never this one.
 */
export { describeMatch } from './describe-match.ts'
export { type EntryFacts, type EntryMember, type Pointer, type WatchedEntry, watchedEntry } from './entry.ts'
export { RulesError } from './json-reader.ts'
export { type Because, type OpenRulesOptions, openRules, type RuleMatch, type Rules } from './open-rules.ts'
export type { Severity } from './rules-file.ts'
