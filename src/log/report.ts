import { describeError, loggableMessage } from '../ops/describe-error.ts'
import type { Logger } from '../ops/logger.ts'
import type { Metrics } from '../ops/metrics.ts'
import { isOutage } from '../store/outage.ts'
import type { ActRecorderOptions } from './act-recorder.ts'
import { LogIncident } from './incident.ts'
import type { Turn } from './log-options.ts'

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

/** Tells what begins anew: whoever reads that the log stopped wants to read when it went on, and where. */
export function reportTurns(logger: Logger): (turn: Turn) => void {
  return ({ kind, ...facts }) => logger.info(facts, turnLines[kind])
}

const turnLines: Readonly<Record<Turn['kind'], string>> = {
  leads: 'this server leads now: it takes entries',
  'works-again': 'the log takes entries again',
  'stands-by': 'another server leads; this one stands by',
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
  { searchMismatches, leafMismatches }: Pick<Metrics, 'searchMismatches' | 'leafMismatches'>,
  record: (incident: LogIncident) => void,
): (defects: readonly Defect[]) => void {
  return (defects) => {
    const tell = (code: LogIncident['code'], found: readonly Defect[], detail: string): void => {
      logger.error({ defects: found.slice(0, listedMax), count: found.length }, detail)
      const { sequenceNumber } = found[0] ?? {}
      record(new LogIncident(code, detail, sequenceNumber === undefined ? {} : { sequenceNumber }))
    }
    const { damaged, unprovable, others } = sortedOut(defects)
    if (damaged.length > 0) {
      leafMismatches.inc(damaged.length)
      tell('LEAF_MISMATCH', damaged, `${damagedRows}: sequence number ${numbersOf(damaged)}`)
    }
    if (unprovable.length > 0) tell('LEAF_MISMATCH', unprovable, `${damagedTiles} ${numbersOf(unprovable)}`)
    if (others.length > 0) {
      searchMismatches.inc(others.length)
      tell('SEARCH_MISMATCH', others, `the search tables did not hold what the tree holds: ${listOf(others)}`)
    }
  }
}

const damagedRows = 'rows of the ledger were changed or removed after they were signed, and are not served'
const damagedTiles =
  'tiles of the tree do not fit its signed root, so that entries cannot be compared with it: up to 256 each, from sequence number'

function sortedOut(defects: readonly Defect[]): Readonly<Record<'damaged' | 'unprovable' | 'others', Defect[]>> {
  return {
    damaged: defects.filter(({ kind }) => kind === 'damaged'),
    unprovable: defects.filter(({ kind }) => kind === 'unprovable'),
    others: defects.filter(({ kind }) => kind !== 'damaged' && kind !== 'unprovable'),
  }
}

type Defect = { readonly sequenceNumber: number; readonly kind: string; readonly columns: readonly string[] }

const listedMax = 20

function numbersOf(defects: readonly Defect[]): string {
  return firstOf(defects, ({ sequenceNumber }) => String(sequenceNumber))
}

function listOf(defects: readonly Defect[]): string {
  return firstOf(defects, ({ sequenceNumber, kind, columns }) => {
    return `${sequenceNumber} ${kind}${columns.length === 0 ? '' : ` (${columns.join(', ')})`}`
  })
}

function firstOf(defects: readonly Defect[], describe: (defect: Defect) => string): string {
  const listed = defects.slice(0, listedMax).map(describe)
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

/** What a witness answered, as far as that is told. */
type WitnessAnswer = { readonly kind: 'cosigned' | 'ahead' | 'conflict' | 'failed'; readonly reason?: string }

/** Counts what witnesses answer, and tells when one begins or ceases to cosign, and of others once a minute. */
export function reportWitnesses(
  logger: Logger,
  { witnessSeconds, witnessAnswers, witnessCosignedAt }: Metrics,
): (witness: string, answer: WitnessAnswer, seconds: number, checkpoint: { readonly treeSize: number }) => void {
  const failing = new Map<string, ReturnType<typeof onceAMinute>>()
  return (witness, answer, seconds, { treeSize }) => {
    witnessAnswers.inc({ witness, answer: answer.kind })
    witnessSeconds.observe({ witness }, seconds)
    if (answer.kind === 'cosigned') {
      witnessCosignedAt.set({ witness }, Date.now() / 1_000)
      if (failing.delete(witness)) logger.info({ witness, treeSize }, 'a witness cosigns again')
      return
    }
    const mayTell = failing.get(witness) ?? onceAMinute()
    failing.set(witness, mayTell)
    const heldBack = mayTell(answer.kind)
    if (heldBack === undefined) return
    const { kind, reason } = answer
    logger.warn({ witness, treeSize, answer: kind, reason, heldBack }, 'a witness did not cosign')
  }
}

/** What was anchored, as far as that is told. Times in microseconds since 1970. */
type Stamped = {
  readonly authority: string
  readonly checkpoint: { readonly number: number; readonly treeSize: number }
  readonly said: { readonly time: number; readonly validUntil: number } | undefined
  readonly skewMs: number
}

/** Counts time stamps, and tells when an authority begins or ceases to stamp, and of further failures once a minute. */
export function reportStamps(
  logger: Logger,
  metrics: Pick<Metrics, 'stamps' | 'stampedAt' | 'stampedSize' | 'stampSkew' | 'stampSpacing' | 'stampExpiry'>,
): { onAnchored: (stamped: Stamped) => void; onFailed: (authority: string, error: unknown) => void } {
  const failing = new Map<string, ReturnType<typeof onceAMinute>>()
  const lastAt = new Map<string, number>()
  return {
    onAnchored: ({ authority, checkpoint, said, skewMs }) => {
      const { number, treeSize } = checkpoint
      const [now, before] = [performance.now(), lastAt.get(authority)]
      lastAt.set(authority, now)
      metrics.stamps.inc({ authority, outcome: 'stamped' })
      metrics.stampedAt.set({ authority }, said === undefined ? Date.now() / 1_000 : said.time / 1e6)
      metrics.stampedSize.set({ authority }, treeSize)
      if (said !== undefined) {
        metrics.stampSkew.set({ authority }, skewMs / 1_000)
        metrics.stampExpiry.set({ authority }, said.validUntil / 1e6)
      }
      if (before !== undefined) metrics.stampSpacing.set({ authority }, (now - before) / 1_000)
      if (failing.delete(authority) || before === undefined) {
        logger.info({ authority, checkpoint: number, treeSize, skewMs }, 'a checkpoint is anchored')
      }
    },
    onFailed: (authority, error) => {
      metrics.stamps.inc({ authority, outcome: 'failed' })
      const mayTell = failing.get(authority) ?? onceAMinute()
      failing.set(authority, mayTell)
      const reason = error instanceof Error ? error.message : String(error)
      const heldBack = mayTell(reason)
      if (heldBack !== undefined) logger.warn({ authority, reason, heldBack }, 'no anchor')
    },
  }
}

/** Counts stamps that were stamped again, and tells of failures once a minute. Times in microseconds since 1970. */
export function reportRenewals(
  logger: Logger,
  metrics: Pick<Metrics, 'stampRenewals' | 'stampsEnd'>,
): {
  onRenewed: (authority: string, count: number) => void
  onWaiting: (authority: string, endsUs: number) => void
  onFailed: (authority: string, error: unknown) => void
} {
  const mayTell = onceAMinute()
  return {
    onRenewed: (authority, count) => {
      metrics.stampRenewals.inc({ authority }, count)
      logger.info({ authority, count }, 'stamps were stamped again before their certificates end')
    },
    onWaiting: (authority, endsUs) => metrics.stampsEnd.set({ authority }, endsUs / 1e6),
    onFailed: (authority, error) => {
      const reason = error instanceof Error ? error.message : String(error)
      const heldBack = mayTell(reason)
      if (heldBack !== undefined) logger.warn({ authority, reason, heldBack }, 'no second stamp')
    },
  }
}
