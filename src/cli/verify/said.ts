// What `verify` says in rounds, to people, programs and the server that started it.
import { type RaisedFinding, raisedFinding } from '../../audit/raised-finding.ts'
import type { KnownFinding } from '../../audit/verifier-state.ts'
import type { WatchProgress } from '../../audit/watch-progress.ts'
import { type ExitStatus, exitCouldNotCheck, printJson, printLine, visibleText } from '../command.ts'
import { describeError } from '../describe-error.ts'
import type { WatchEvents } from './watch.ts'

/** What a verifier says as it goes; `onFinding` is told too. */
export function eventsOf(isJson: boolean, onFinding: (finding: RaisedFinding) => void): WatchEvents {
  return {
    onFinding: (known, evidence) => {
      onFinding(raisedFinding(known, evidence))
      process.send?.({ kind: 'finding', finding: known, evidence })
      if (isJson) printJson({ ...known, firstSeen: iso(known.firstSeenMs), evidence })
      else printLine(`VIOLATION  ${describeKnown(known)}`)
    },
    onNotChecked: (reason) => {
      process.send?.({ kind: 'unchecked', reason })
      say(`not checked: ${reason}`)
    },
    onRewritten: ({ above, upTo }) => {
      process.send?.({ kind: 'rewritten', from: above + 1, to: upTo })
      say(
        `rows of the entries ${above + 1} to ${upTo} were written again since they were looked at, and say what they said`,
      )
    },
    onUnstored: (error) => {
      process.send?.({ kind: 'unstored', reason: describeError(error) })
      say(`could not be stored in the database: ${describeError(error)}`)
    },
  }
}

/** Of a round that could not check. */
export function tellFailure(error: unknown, isJson: boolean): ExitStatus {
  const reason = describeError(error)
  process.send?.({ kind: 'failed', reason })
  say(`could not check: ${reason}`)
  if (isJson) printJson({ error: reason })
  return exitCouldNotCheck
}

export function describeProgress({ verifiedSize, coveredMs, ranges, rangesDone, findings }: WatchProgress): string {
  const covered = coveredMs === null ? '' : `, all hashed again since ${iso(coveredMs)}`
  return `${countOf(findings)}: verified to entry ${verifiedSize}; ${rangesDone} of ${ranges} ranges hashed again${covered}`
}

export function describeKnown({ violationType, detail, firstSeenMs }: KnownFinding): string {
  return visibleText(`${violationType}  ${detail}  (first seen ${iso(firstSeenMs)})`)
}

export function countOf(findings: number): string {
  return findings === 0 ? 'no findings' : `${findings} finding${findings === 1 ? '' : 's'}`
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}

export function say(reason: string): void {
  process.stderr.write(`dendrolog verify: ${visibleText(reason)}\n`)
}
