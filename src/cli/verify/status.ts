// `verify --status`: where the verifier of a log stands, by what it remembers.
import { coveredMsOf, findingsOf, type VerifierState } from '../../audit/verifier-state.ts'
import { readConfig } from '../../config.ts'
import {
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  exitViolation,
  printJson,
  printLine,
  visibleText,
} from '../command.ts'
import { countOf, describeKnown, iso } from './said.ts'
import { readStatus } from './watch.ts'

const hourMs = 3_600_000

/** A verifier that is silent, or misses something, has not found nothing. */
export async function showStatus(isJson: boolean): Promise<ExitStatus> {
  const state = await readStatus()
  if (state === undefined) {
    if (isJson) printJson({ error: 'no verifier has run yet' })
    else printLine('no verifier of this log has run yet')
    return exitCouldNotCheck
  }
  const unsure = whyUnsure(state, readConfig().verifyWithinHours * hourMs, Date.now())
  const findings = findingsOf(state)
  if (isJson) printState(state, unsure)
  else {
    printLine(describeState(state))
    for (const finding of findings) printLine(`  ${describeKnown(finding)}`)
    if (unsure !== undefined) printLine(visibleText(`not sure: ${unsure}`))
  }
  if (findings.length > 0) return exitViolation
  return unsure === undefined ? exitHolds : exitCouldNotCheck
}

/** Why no finding is not the same as no violation; undefined where it is. */
export function whyUnsure({ look, full }: VerifierState, withinMs: number, nowMs: number): string | undefined {
  const lastMs = Math.max(look.checkedMs ?? 0, full?.isComplete === true ? full.endedMs : 0)
  if (look.missed !== null && lastMs === (look.checkedMs ?? 0)) return `not all could be checked: ${look.missed}`
  if (lastMs === 0) return 'nothing has been checked yet'
  const dueMs = look.dueMs === null || look.dueMs < lastMs ? lastMs + withinMs : look.dueMs
  return nowMs <= dueMs ? undefined : `since ${iso(lastMs)} nothing was checked, which was due at ${iso(dueMs)}`
}

function describeState(state: VerifierState): string {
  const { base, look, full } = state
  const coveredMs = coveredMsOf(state)
  const checked = look.checkedMs === null ? '' : ` at ${iso(look.checkedMs)}`
  const covered = coveredMs === null ? 'not yet all hashed a second time' : `all hashed again since ${iso(coveredMs)}`
  const passed = full === null ? '' : `; the last full pass, of ${full.size} entries, ended at ${iso(full.endedMs)}`
  return `verified at least to entry ${base.size}${checked}; ${covered}${passed}; ${countOf(findingsOf(state).length)}`
}

function printState(state: VerifierState, unsure: string | undefined): void {
  const { base, look, full, rangeRoots, sweep } = state
  const findings = findingsOf(state)
  const pass = full && {
    startedMs: full.startedMs,
    endedMs: full.endedMs,
    size: full.size,
    isComplete: full.isComplete,
  }
  printJson({
    isSecure: findings.length === 0 && unsure === undefined,
    ...{ verifiedSize: base.size, checkedMs: look.checkedMs, dueMs: look.dueMs, coveredMs: coveredMsOf(state) },
    ...{ ranges: rangeRoots.length, rangesDone: Math.min(sweep.next, rangeRoots.length), full: pass },
    unsure: unsure ?? null,
    findings,
  })
}
