import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KnownFinding } from '../../audit/verifier-state.ts'
import type { Watch, WatchProgress } from '../../audit/watch.ts'
import {
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  exitViolation,
  printJson,
  printLine,
  visibleText,
} from '../command.ts'
import { describeError } from '../describe-error.ts'
import { forgetFindings, readStatus, type WatchEvents, withWatch } from './watch.ts'

const retryMs = 5_000
const retryMaxMs = 60_000
/** A server's verifier gives way to what clients wait for. */
const niceness = 10
/** How often the server that started this is told where it stands. */
const tellMs = 1_000

/** One round: all that is new, a probe, and as much of the rest as is due. */
export async function verifyRound(isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  const progress = await withWatch(eventsOf(isJson), signal, async (watch) => {
    await watch.runOnce(signal)
    return watch.progress
  })
  if (isJson) printJson({ isSecure: progress.findings === 0, ...progress })
  else printLine(describeProgress(progress))
  return progress.findings === 0 ? exitHolds : exitViolation
}

/** A round every so often, until `signal`. A round that could not check is told, and the next one is tried. */
export async function verifyEvery(everyMs: number, isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  let last: ExitStatus = exitHolds
  while (!signal.aborted) {
    try {
      last = await verifyRound(isJson, signal)
    } catch (error) {
      if (signal.aborted) break
      last = tellFailure(error, isJson)
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {})
  }
  return last
}

/** Verifies until `signal`, or until the server that started this is gone. */
export async function verifyAlways(isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  const { send } = process
  const gone = new AbortController()
  if (send !== undefined) {
    process.once('disconnect', () => gone.abort())
    setPriority(niceness)
  }
  const until = AbortSignal.any([signal, gone.signal])
  let found = 0
  let pauseMs = retryMs
  while (!until.aborted) {
    try {
      await withWatch(eventsOf(isJson), until, async (watch) => {
        const telling = send === undefined ? undefined : tellServer(watch)
        try {
          pauseMs = retryMs
          await watch.run(until)
        } finally {
          clearInterval(telling)
          found = watch.progress.findings
        }
      })
    } catch (error) {
      if (until.aborted) break
      tellFailure(error, isJson)
      await sleep(pauseMs, undefined, { signal: until }).catch(() => {})
      pauseMs = Math.min(2 * pauseMs, retryMaxMs)
    }
  }
  return found === 0 ? exitHolds : exitViolation
}

/** Where the verifier of this log stands, by what it remembers. */
export async function showStatus(isJson: boolean): Promise<ExitStatus> {
  const status = await readStatus()
  if (status === undefined) {
    if (isJson) printJson({ error: 'no verifier has run yet' })
    else printLine('no verifier of this log has run yet')
    return exitCouldNotCheck
  }
  const { state, writtenMs } = status
  const { base, coveredMs, findings, rangeRoots, sweep } = state
  if (isJson) {
    const ranges = { ranges: rangeRoots.length, rangesDone: Math.min(sweep.next, rangeRoots.length) }
    printJson({ isSecure: findings.length === 0, verifiedSize: base.size, writtenMs, coveredMs, ...ranges, findings })
  } else {
    const covered = coveredMs === null ? 'not yet all hashed a second time' : `all hashed again since ${iso(coveredMs)}`
    printLine(`verified to entry ${base.size} at ${iso(writtenMs)}; ${covered}; ${countOf(findings.length)}`)
    for (const finding of findings) printLine(`  ${describeFinding(finding)}`)
  }
  return findings.length === 0 ? exitHolds : exitViolation
}

export async function forget(isJson: boolean): Promise<ExitStatus> {
  const forgotten = await forgetFindings()
  if (isJson) printJson({ forgotten })
  else printLine(`${countOf(forgotten)} forgotten; what is still there is told again`)
  return exitHolds
}

function eventsOf(isJson: boolean): WatchEvents {
  return {
    onFinding: (known, evidence) => {
      process.send?.({ kind: 'finding', finding: known, evidence })
      if (isJson) printJson({ ...known, firstSeen: iso(known.firstSeenMs), evidence })
      else printLine(`VIOLATION  ${describeFinding(known)}`)
    },
    onNotChecked: (reason) => {
      process.send?.({ kind: 'unchecked', reason })
      process.stderr.write(`dendrolog verify: not checked: ${visibleText(reason)}\n`)
    },
    onUnstored: (error) => {
      process.send?.({ kind: 'unstored', reason: describeError(error) })
      process.stderr.write(`dendrolog verify: could not be stored in the database: ${describeError(error)}\n`)
    },
  }
}

function tellServer(watch: Watch): NodeJS.Timeout {
  return setInterval(() => process.send?.({ kind: 'progress', progress: watch.progress }), tellMs)
}

function tellFailure(error: unknown, isJson: boolean): ExitStatus {
  const reason = describeError(error)
  process.send?.({ kind: 'failed', reason })
  process.stderr.write(`dendrolog verify: could not check: ${reason}\n`)
  if (isJson) printJson({ error: reason })
  return exitCouldNotCheck
}

function describeProgress({ verifiedSize, coveredMs, ranges, rangesDone, findings }: WatchProgress): string {
  const covered = coveredMs === null ? '' : `, all hashed again since ${iso(coveredMs)}`
  return `${countOf(findings)}: verified to entry ${verifiedSize}; ${rangesDone} of ${ranges} ranges hashed again${covered}`
}

function describeFinding({ violationType, detail, firstSeenMs }: KnownFinding): string {
  return visibleText(`${violationType}  ${detail}  (first seen ${iso(firstSeenMs)})`)
}

function countOf(findings: number): string {
  return findings === 0 ? 'no findings' : `${findings} finding${findings === 1 ? '' : 's'}`
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
