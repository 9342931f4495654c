import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { beat } from '../../audit/beat.ts'
import type { RaisedFinding } from '../../audit/raised-finding.ts'
import type { WatchProgress } from '../../audit/watch-progress.ts'
import type { Config } from '../../config.ts'
import { type ExitStatus, exitCouldNotCheck, exitHolds, exitViolation, printJson, printLine } from '../command.ts'
import { describeError } from '../describe-error.ts'
import { countOf, eventsOf, say, tellFailure } from './said.ts'
import { openTeller } from './teller.ts'
import { forgetFindings, withWatch } from './watch.ts'

const retryMs = 5_000
const retryMaxMs = 60_000
/** A server's verifier gives way to what clients wait for. */
const niceness = 10
/** How often the server that started this is told where it stands. */
const tellMs = 1_000
/** How often alarms that wait are tried, where no server does it. */
const waitingMs = 60_000
/** Within which it keeps what it remembers, also on a machine that has other things to do; in probes, and at least. */
const dueProbes = 3
const dueMinMs = 300_000

/** Verifies until `signal`. */
export async function verifyAlways(isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  if (process.send !== undefined) return verifyForServer(isJson, signal)
  const teller = await openTeller(say)
  const reading: { progress: WatchProgress | undefined; failure: string | undefined } = {
    progress: undefined,
    failure: undefined,
  }
  const beating = teller.heartbeat && beat(() => reading, teller.heartbeat, signal)
  let telling: Promise<void> = Promise.resolve()
  const tell = (findings: readonly RaisedFinding[]): Promise<void> => {
    telling = telling.then(() => teller.tell(findings, signal))
    return telling
  }
  const waiting = repeat(waitingMs, () => tell([]), signal)
  const status = await watchUntil(signal, isJson, {
    onFinding: (finding) => void tell([finding]),
    onProgress: (progress) => {
      reading.progress = progress
      reading.failure = progress.missed
    },
    onFailure: (reason) => {
      reading.failure = reason
    },
  })
  await Promise.all([telling, waiting, beating])
  return status
}

async function repeat(everyMs: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(everyMs, undefined, { signal }).catch(() => {})
    if (!signal.aborted) await work()
  }
}

/** Until the server that started this is gone, too. */
async function verifyForServer(isJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  const gone = new AbortController()
  process.once('disconnect', () => gone.abort())
  setPriority(niceness)
  return watchUntil(AbortSignal.any([signal, gone.signal]), isJson, {
    onFinding: () => {},
    onProgress: (progress) => process.send?.({ kind: 'progress', progress }),
    onFailure: () => {},
  })
}

type Watching = {
  readonly onFinding: (finding: RaisedFinding) => void
  /** Told once a second. */
  readonly onProgress: (progress: WatchProgress) => void
  readonly onFailure: (reason: string) => void
}

/** Watches, and begins anew where it could not check. That it could never look is not that it found nothing. */
async function watchUntil(until: AbortSignal, isJson: boolean, watching: Watching): Promise<ExitStatus> {
  let found: number | undefined
  let pauseMs = retryMs
  let missed: string | undefined
  const tell = (progress: WatchProgress): void => {
    if (progress.missed !== undefined && progress.missed !== missed) tellFailure(new Error(progress.missed), isJson)
    missed = progress.missed
    watching.onProgress(progress)
  }
  while (!until.aborted) {
    try {
      await withWatch(eventsOf(isJson, watching.onFinding), dueOf, until, async (watch) => {
        const telling = setInterval(() => tell(watch.progress), tellMs)
        try {
          pauseMs = retryMs
          await watch.run(until)
        } finally {
          clearInterval(telling)
          const { findings, checkedMs } = watch.progress
          if (checkedMs !== undefined || findings > 0) found = findings
        }
      })
    } catch (error) {
      if (until.aborted) break
      tellFailure(error, isJson)
      watching.onFailure(describeError(error))
      await sleep(pauseMs, undefined, { signal: until }).catch(() => {})
      pauseMs = Math.min(2 * pauseMs, retryMaxMs)
    }
  }
  if (found === undefined) return exitCouldNotCheck
  return found === 0 ? exitHolds : exitViolation
}

function dueOf({ verifyProbeSeconds }: Config): () => number {
  const withinMs = Math.max(dueMinMs, dueProbes * verifyProbeSeconds * 1_000)
  return () => Date.now() + withinMs
}

export async function forget(isJson: boolean): Promise<ExitStatus> {
  const forgotten = await forgetFindings()
  if (isJson) printJson({ forgotten })
  else printLine(`${countOf(forgotten)} forgotten; what is still there is told again`)
  return exitHolds
}
