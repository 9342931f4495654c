import { describeError, loggableMessage } from '../ops/describe-error.ts'
import type { Logger } from '../ops/logger.ts'
import type { Metrics } from '../ops/metrics.ts'
import { isOutage } from '../store/outage.ts'
import type { ActRecorderOptions } from './act-recorder.ts'
import { LogIncident } from './incident.ts'

const sameMs = 60_000

/** Tells why the log stopped. The same reason again after a minute, not at each attempt to open the log. */
export function reportIncidents(logger: Logger): (error: unknown) => void {
  const mayTell = onceAMinute()
  return (error) => {
    const heldBack = mayTell(String(error))
    if (heldBack === undefined) return
    logger.error({ err: error, heldBack }, 'the log stopped and will be opened again')
  }
}

/**
 * Tells what a request failed with. A database that is away fails every request for the same reason: one line a minute
 * and no stacks.
 */
export function reportRequests(logger: Logger): (error: unknown, requestId: string) => void {
  const mayTell = onceAMinute()
  return (error, requestId) => {
    if (!(error instanceof Error && isOutage(error))) {
      logger.error({ err: error, requestId }, 'request failed')
      return
    }
    const heldBack = mayTell('outage')
    if (heldBack === undefined) return
    const { code } = describeError(error)
    logger.error({ reason: loggableMessage(error), code, requestId, heldBack }, 'the database cannot be asked')
  }
}

/** Tells what was refused, to whoever looks for a request: a hostile client makes as many lines as requests. */
export function reportRefusals(logger: Logger): (refusal: object) => void {
  return (refusal) => logger.debug(refusal, 'request refused')
}

/** Tells that a follower failed, once a minute for the same reason; it goes on by itself. */
export function reportFollowers(
  logger: Logger,
  failures: Metrics['followerFailures'],
): (name: string, error: unknown) => void {
  const mayTell = onceAMinute()
  return (name, error) => {
    failures.inc({ follower: name })
    const heldBack = mayTell(`${name} ${String(error)}`)
    if (heldBack !== undefined)
      logger.warn({ follower: name, err: error, heldBack }, 'a follower failed and tries again')
  }
}

/** Tells what was wrong with rows of the search tables, or with entries that they were compared with. */
export function reportSearch(
  logger: Logger,
  mismatches: Metrics['searchMismatches'],
  record: (incident: LogIncident) => void,
): (defects: readonly Defect[]) => void {
  return (defects) => {
    const unproved = defects.filter(({ kind }) => kind === 'unproved')
    const wrong = defects.filter(({ kind }) => kind !== 'unproved')
    if (unproved.length > 0) {
      const detail = `entries that are not those of the tree, among 256 each from: ${listOf(unproved)}`
      logger.error({ defects: unproved.slice(0, listedMax), count: unproved.length }, detail)
      record(new LogIncident('LEAF_MISMATCH', detail))
    }
    if (wrong.length > 0) {
      mismatches.inc(wrong.length)
      const detail = `the search tables did not hold what the tree holds: ${listOf(wrong)}`
      logger.error({ defects: wrong.slice(0, listedMax), count: wrong.length }, detail)
      record(new LogIncident('SEARCH_MISMATCH', detail))
    }
  }
}

type Defect = { readonly sequenceNumber: number; readonly kind: string; readonly columns: readonly string[] }

const listedMax = 20

function listOf(defects: readonly Defect[]): string {
  const listed = defects.slice(0, listedMax).map(({ sequenceNumber, kind, columns }) => {
    return `${sequenceNumber} ${kind}${columns.length === 0 ? '' : ` (${columns.join(', ')})`}`
  })
  return `${listed.join(', ')}${defects.length > listedMax ? ` and ${defects.length - listedMax} more` : ''}`
}

/** Tells that incidents could not be written down, once a minute. */
export function reportUnrecorded(logger: Logger): (error: unknown) => void {
  const mayTell = onceAMinute()
  return (error) => {
    const heldBack = mayTell('unrecorded')
    if (heldBack !== undefined) logger.warn({ err: error, heldBack }, 'incidents could not be recorded yet')
  }
}

/** Tells of the log's own acts: that they could not be recorded yet, once a minute, and of each that never will be. */
export function reportActs(logger: Logger): Pick<ActRecorderOptions, 'onFailed' | 'onDropped'> {
  const mayTell = onceAMinute()
  return {
    onFailed: (name, error) => {
      const heldBack = mayTell(name)
      if (heldBack !== undefined) logger.warn({ acts: name, err: error, heldBack }, 'acts could not be recorded yet')
    },
    onDropped: ({ id, action }, reason) =>
      logger.error({ id, action, reason }, 'an act was dropped: it can be no entry'),
  }
}

/** Tells that last uses of tokens could not be written down, once a minute. */
export function reportUnwrittenUses(logger: Logger): (error: unknown) => void {
  const mayTell = onceAMinute()
  return (error) => {
    const heldBack = mayTell('uses')
    if (heldBack !== undefined) logger.warn({ err: error, heldBack }, 'uses of tokens could not be written down yet')
  }
}

/** How many of the same were held back before this one; undefined where it is held back itself. */
function onceAMinute(): (what: string) => number | undefined {
  let last = { what: '', atMs: Number.NEGATIVE_INFINITY }
  let heldBack = 0
  return (what) => {
    const now = performance.now()
    if (what === last.what && now - last.atMs < sameMs) {
      heldBack++
      return undefined
    }
    const count = what === last.what ? heldBack : 0
    last = { what, atMs: now }
    heldBack = 0
    return count
  }
}
