import { setTimeout as sleep } from 'node:timers/promises'
import { beatRound } from '../../audit/beat.ts'
import { placeIn, type RaisedFinding } from '../../audit/raised-finding.ts'
import type { FindingReport, VerificationReport } from '../../audit/report.ts'
import type { KnownFinding } from '../../audit/verifier-state.ts'
import type { WatchProgress } from '../../audit/watch-progress.ts'
import { type ExitStatus, exitCouldNotCheck, exitHolds, exitViolation, printJson, printLine } from '../command.ts'
import { describeError } from '../describe-error.ts'
import type { Schedule } from '../schedule.ts'
import { describeReport } from './describe.ts'
import { type FullOptions, verifyFully } from './full.ts'
import { showProgress } from './progress.ts'
import { describeProgress, eventsOf, say, tellFailure } from './said.ts'
import { openTeller, type Teller } from './teller.ts'
import { type DueOf, withWatch } from './watch.ts'

type Values = Omit<FullOptions, 'onProgress' | 'onUnkept'>
type Round = (teller: Teller, isJson: boolean, signal: AbortSignal) => Promise<ExitStatus>

/** One round: all that is new, a probe, and as much of the rest as is due. */
export function verifyRound(isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  return withTeller((teller) =>
    runRound(
      round(() => () => null),
      teller,
      isJson,
      signal,
    ),
  )
}

/** Every row, once. */
export function verifyWhole(values: Values, isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  return withTeller((teller) => runRound(full(values), teller, isJson, signal))
}

/**
 * A round now, and whenever it is due, until `signal`; a full one when that is due. A round that could not check is told,
 * and the next one is tried.
 */
export function verifyEvery(
  schedule: Schedule,
  fullSchedule: Schedule | undefined,
  isJson: boolean,
  signal: AbortSignal,
): Promise<ExitStatus> {
  return withTeller(async (teller) => {
    let last: ExitStatus = exitCouldNotCheck
    let fullAtMs = fullSchedule?.next(Date.now()) ?? Number.POSITIVE_INFINITY
    while (!signal.aborted) {
      const startedMs = Date.now()
      const isFull = startedMs >= fullAtMs
      if (isFull) fullAtMs = fullSchedule?.next(startedMs) ?? fullAtMs
      // The one after the next: a round takes its time.
      const dueOf: DueOf = () => () => schedule.next(schedule.next(Date.now())) + lateMs
      try {
        const work = isFull ? full({ vkey: {}, threads: undefined }) : round(dueOf)
        last = await runRound(work, teller, isJson, signal)
      } catch (error) {
        if (signal.aborted) break
        last = tellFailure(error, isJson)
      }
      await sleepUntil(Math.min(schedule.next(Date.now()), fullAtMs), signal)
    }
    return last
  })
}

/** A round may be late by so much. */
const lateMs = 300_000
/** Timers take 2^31 ms at most. */
const sleepMaxMs = 3_600_000

async function sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
  for (let restMs = atMs - Date.now(); restMs > 0 && !signal.aborted; restMs = atMs - Date.now()) {
    await sleep(Math.min(restMs, sleepMaxMs), undefined, { signal }).catch(() => {})
  }
}

async function withTeller(work: (teller: Teller) => Promise<ExitStatus>): Promise<ExitStatus> {
  const teller = await openTeller(say)
  try {
    return await work(teller)
  } finally {
    await teller.close()
  }
}

async function runRound(work: Round, teller: Teller, isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  teller.heartbeat?.start()
  try {
    return await work(teller, isJson, signal)
  } catch (error) {
    if (!signal.aborted) teller.heartbeat?.fail(`could not check: ${describeError(error)}`)
    throw error
  }
}

function round(dueOf: DueOf): Round {
  return async (teller, isJson, signal) => {
    const found: RaisedFinding[] = []
    const events = eventsOf(isJson, (finding) => found.push(finding))
    const { progress, findings } = await withWatch(events, dueOf, signal, async (watch) => {
      try {
        await watch.runOnce(signal)
      } finally {
        // While an embedded database still runs.
        await teller.tell(found, signal)
      }
      return watch
    })
    if (progress.missed !== undefined) {
      if (progress.findings === 0) throw new Error(progress.missed)
      say(`not all could be checked: ${progress.missed}`)
    }
    if (isJson) printJson(roundReport(progress, findings))
    else printLine(describeProgress(progress))
    if (teller.heartbeat !== undefined) beatRound(teller.heartbeat, progress)
    return progress.findings === 0 ? exitHolds : exitViolation
  }
}

/** As that of a full pass; the first five members are of the first finding. */
function roundReport(
  { scanned, missed, ...progress }: WatchProgress,
  findings: readonly KnownFinding[],
): Readonly<Record<string, unknown>> {
  const [first] = findings
  return {
    isSecure: first === undefined,
    totalLogsScanned: scanned,
    tamperedLogSequence: first?.sequenceNumber ?? null,
    violationType: first?.violationType ?? null,
    failureDetails: first?.detail ?? null,
    ...progress,
    ...(missed === undefined ? {} : { missed }),
    findings,
  }
}

function full(values: Values): Round {
  return async ({ heartbeat, tell }, isJson, signal) => {
    const progress = showProgress(isJson)
    const onUnkept = (error: unknown): void => say(`--status does not know of this pass: ${describeError(error)}`)
    try {
      const report = await verifyFully({ ...values, onProgress: progress.show, onUnkept }, signal)
      progress.end()
      if (isJson) printJson(report)
      else process.stdout.write(describeReport(report))
      await tell(report.findings.map(raisedOf), signal)
      beatFull(report, heartbeat)
      if (report.findings.length > 0) return exitViolation
      return report.isComplete ? exitHolds : exitCouldNotCheck
    } finally {
      progress.end()
    }
  }
}

function beatFull(
  { isSecure, findings, findingsOmitted, totalLogsScanned, notChecked }: VerificationReport,
  to: Teller['heartbeat'],
): void {
  if (isSecure) to?.success(`all ${totalLogsScanned} entries verified`)
  else if (findings.length === 0) to?.fail(`could not check: ${notChecked.join('; ')}`)
  else to?.fail(`${findings.length + findingsOmitted} violations in ${totalLogsScanned} entries`)
}

/** Its place as rounds have it: what both find is one incident. */
function raisedOf({ violationType, detail, key, ...evidence }: FindingReport): RaisedFinding {
  const { sequenceNumber } = evidence
  const place = placeIn(String(key), typeof sequenceNumber === 'number' ? sequenceNumber : undefined)
  return { violationType, ...place, detail, evidence }
}
