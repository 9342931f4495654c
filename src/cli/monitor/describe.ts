import { CouldNotCheck, Refused } from '../../client/errors.ts'
import { describeMatch } from '../../rules/describe-match.ts'
import type { GatheredMatches } from '../../rules/gather-matches.ts'
import {
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  exitViolation,
  printJson,
  printLine,
  quoteText,
  visibleText,
} from '../command.ts'
import { adviceOn } from '../server-fetch.ts'
import { headOf, type Looked } from './log-monitor.ts'
import type { KnownFinding, MonitorState, Told } from './state.ts'

// What a look came to, for people, for programs and for a dead-man service.

/** A violation that was seen before is one until it is forgotten. */
export function statusOf({ check, state }: Looked): ExitStatus {
  if (check.kind === 'violated' || state.findings.length > 0) return exitViolation
  return check.kind === 'advanced' || check.kind === 'unchanged' ? exitHolds : exitCouldNotCheck
}

/** Always the same members; what is not known is null. */
export function lookedJson(looked: Looked): Readonly<Record<string, unknown>> {
  const { check, state, atMs, finding } = looked
  const status = statusOf(looked)
  const { size = null, root = null } = headOf(looked) ?? {}
  const reason = reasonOf(looked)
  return {
    status: check.kind,
    at: new Date(atMs).toISOString(),
    origin: state.origin,
    isSecure: status === exitHolds ? true : status === exitViolation ? false : null,
    ...{ size, root, fromSize: fromOf(looked) ?? null },
    sthTimestampMs: ('sth' in check ? check.sth?.timestampMs : undefined) ?? null,
    ...{ tilesSize: state.tilesSize, entriesSize: state.entriesSize },
    ...{ violationType: finding?.violationType ?? null, evidence: finding?.evidence?.file ?? null },
    ...{ code: reason?.code ?? null, detail: reason?.detail ?? null },
    findings: state.findings.map(findingJson),
  }
}

/** A look as lines. */
export function describeLooked(looked: Looked): string {
  const { check, state, finding } = looked
  const before = state.findings.filter(({ id }) => id !== finding?.id).map((each) => `  ${describeKnown(each)}`)
  const kept = finding && `  evidence ${visibleText(finding.evidence?.file ?? 'could not be kept')}`
  const rest = before.length === 0 ? [] : ['found before, see --forget:', ...before]
  return [visibleText(headline(looked, check.kind)), ...(kept === undefined ? [] : [kept]), ...rest].join('\n')
}

/** What is told a dead-man service: why it is no success, or what holds. */
export function beatOf(looked: Looked): { readonly kind: 'success' | 'fail'; readonly words: string } {
  const open = looked.state.findings.length
  const words = `${headline(looked, looked.check.kind)}${open === 0 ? '' : `; ${open} violations were found`}`
  return { kind: statusOf(looked) === exitHolds ? 'success' : 'fail', words }
}

function headline(looked: Looked, kind: Looked['check']['kind']): string {
  const { state } = looked
  const reason = reasonOf(looked)
  const { size } = headOf(looked) ?? {}
  if (kind === 'violated') return `VIOLATION: ${reason?.code}: ${reason?.detail}`
  if (kind === 'unchecked') return `could not check: ${reason?.code}: ${reason?.detail}`
  if (kind === 'stale') return `could not vouch: STALE: ${reason?.detail}`
  const from = fromOf(looked)
  const log = `in order: ${quoteText(state.origin)} has ${size} entries`
  if (kind === 'unchanged') return `${log}, as before${sweptOf(state)}`
  const before = from === undefined ? '; a first checkpoint is believed' : `, the first ${from} as before`
  return `${log}${from === 0 ? ', none before' : before}${sweptOf(state)}`
}

function sweptOf({ tilesSize, entriesSize }: MonitorState): string {
  const tiles = tilesSize === 0 ? '' : `; tiles read of ${tilesSize}`
  return `${tiles}${entriesSize === 0 ? '' : `; ${entriesSize} read`}`
}

function fromOf({ check }: Looked): number | undefined {
  return check.kind === 'advanced' || check.kind === 'stale' ? check.from?.checkpoint.size : undefined
}

function reasonOf({
  check,
  finding,
  url,
  readsEntries,
}: Looked): { readonly code: string; readonly detail: string } | undefined {
  if (check.kind === 'violated') return { code: check.finding.kind, detail: finding?.detail ?? '' }
  if (check.kind === 'unchecked') return reasonOfError(check.error, url, readsEntries)
  if (check.kind !== 'stale') return undefined
  const seconds = Math.abs(Math.round(check.ageMs / 1_000))
  const when = check.ageMs < 0 ? `${seconds} s ahead of this clock` : `${seconds} s old`
  return { code: 'STALE', detail: `the newest signed tree head, of ${check.at.checkpoint.size} entries, is ${when}` }
}

function reasonOfError(
  error: Error,
  url: string,
  readsEntries: boolean,
): { readonly code: string; readonly detail: string } {
  if (error instanceof Refused) {
    const isForbidden = readsEntries && [401, 403].includes(error.status)
    return { code: error.code, detail: `${error.detail}${isForbidden ? tokenAdvice : ''}` }
  }
  if (error instanceof CouldNotCheck) return { code: error.code, detail: error.message }
  return { code: 'unavailable', detail: `${error.message}${adviceOn(error.cause, new URL(url))}` }
}

const tokenAdvice = '; --entries and --rules want --token-file with the token of an auditor'

function describeKnown(known: KnownFinding): string {
  const { evidence } = known
  return `${describeTold(known)}${evidence === null ? '' : visibleText(`, evidence ${evidence.file}`)}`
}

export function describeTold({ violationType, detail, firstSeenMs }: Told): string {
  return visibleText(`${violationType}: ${detail} (first seen ${new Date(firstSeenMs).toISOString()})`)
}

/** Matches of a rule and a group, as soon as they are seen. */
export function printMatch(matches: GatheredMatches, origin: string, isJson: boolean): void {
  const { match, count } = matches
  const { rule, severity, because, group, entry } = match
  const [at, detail] = [new Date().toISOString(), describeMatch(match)]
  if (isJson) {
    printJson({ status: 'matched', at, origin, rule, severity, because, group, count, entry, detail })
    return
  }
  const times = count > 1 ? ` (${count} times)` : ''
  printLine(visibleText(`${at} matched: entry ${entry.sequenceNumber}, ${severity}: ${detail}${times}`))
}

function findingJson({ violationType, key, sequenceNumber, detail, firstSeenMs, evidence }: KnownFinding): object {
  const firstSeen = new Date(firstSeenMs).toISOString()
  return { violationType, key, sequenceNumber, detail, firstSeen, evidence: evidence?.file ?? null }
}
