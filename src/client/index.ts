/**
 * The export list of `dendrolog/client`: submit, read and watch a log, believing nothing that is not signed. For Node
 * and browsers. The folder's own files import each other, never this one.
 */
export { CheckedTree, openTree } from './checked-tree.ts'
export {
  CouldNotCheck,
  type CouldNotCheckCode,
  type RefusalPlace,
  Refused,
  type ServedFile,
  ServedMismatch,
  Unavailable,
  Violation,
  type ViolationCode,
} from './errors.ts'
export { type IdentifiedEvent, type LogEvent, newEventId, withEventId } from './event.ts'
export { describeFinding, evidenceOf, type Finding, placeOf } from './finding.ts'
export type { Fetch } from './http.ts'
export { type LogClient, type LogClientOptions, openLogClient, type SignedCheckpoint } from './log-client.ts'
export { type Check, checkOnce, type MonitorOptions, monitor, type SweepPosition } from './monitor.ts'
export { type CheckedEntry, readEntry } from './read-entry.ts'
export type { RetryLimits } from './retry.ts'
export type { SthWatch } from './sth.ts'
export { type Logged, submit } from './submit.ts'
export { type BatchOptions, type Outcome, submitMany } from './submit-many.ts'
export type { SweptEntry } from './sweep-entries.ts'
