// The verifier of a server: a process of its own, so that neither its memory nor its work is the server's.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { VerifierStanding } from '../api/server.ts'
import { formatUuid } from '../tlog/uuid.ts'
import { beat } from './audit/beat.ts'
import { raisedFinding } from './audit/raised-finding.ts'
import { coveredMsOf, type KnownFinding } from './audit/verifier-state.ts'
import type { WatchProgress } from './audit/watch-progress.ts'
import type { TokenOffice } from './auth/token-office.ts'
import { forgetIncident, readState, statePath } from './cli/verify/state.ts'
import type { Config } from './config.ts'
import type { Alarms } from './incident/alarms.ts'
import { findingOfStop, type IncidentFinding } from './incident/finding.ts'
import type { IncidentOffice } from './incident/incident-office.ts'
import { openAlarms, openHeartbeat } from './incident/open-alarms.ts'
import { PublishingStop } from './incident/publishing-stop.ts'
import { makeId } from './ingest/make-id.ts'
import type { Database, Instance } from './instance.ts'
import type { LogIncident } from './log/incident.ts'
import type { LogPlace } from './log/log-options.ts'
import { openHooks } from './ops/hooks/open-hooks.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics, VerifierReadings } from './ops/metrics.ts'
import { storableText } from './ops/storable-text.ts'
import { openContainment } from './serve-containment.ts'
import type { Stateful } from './serve-log.ts'
import type { SignAct } from './store/acts.ts'

const program = join(import.meta.dirname, 'cli', 'main.js')
/** A server that is started and stopped again needs none; one that starts is left alone. */
const startMs = 3_000
/** After a verifier that ended by itself. */
const restartMs = 10_000
const stopMs = 2_000
/** A line of the server's log says so often that the verifier works: searches for silence need it. */
const lineMs = 600_000
/** Its heap: rows are not kept. */
const heapMib = 96
/** It tells where it stands once a second. */
const silentMaxMs = 60_000
const hungMs = 300_000
/** Of the reason why it cannot check. */
const failureCharactersMax = 1_000

/** What a verifier tells its server. */
type Message =
  | { readonly kind: 'progress'; readonly progress: WatchProgress }
  | { readonly kind: 'finding'; readonly finding: KnownFinding; readonly evidence: Readonly<Record<string, unknown>> }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'unchecked'; readonly reason: string }
  | { readonly kind: 'unstored'; readonly reason: string }
  | { readonly kind: 'rewritten'; readonly from: number; readonly to: number }

export type VerifierEvents = {
  /** Told once of each finding, over all starts. */
  readonly onFinding: (finding: IncidentFinding) => void
  readonly logger: Logger
}

/** Starts the verifier, and again when it has ended, until it is stopped. */
export class Verifier {
  readonly #events: VerifierEvents
  #progress: WatchProgress | undefined
  /** Why it cannot check, where it cannot. */
  #failure: string | undefined
  /** Its process is gone, and no other has told where it stands. */
  #hasEnded = false
  /** How often rows of a range were found written again that say what they said. */
  #rewritten = 0
  #saidAt = Number.NEGATIVE_INFINITY
  #heardAt = Number.POSITIVE_INFINITY

  constructor(events: VerifierEvents) {
    this.#events = events
  }

  /** Undefined before it could look the first time. */
  get progress(): WatchProgress | undefined {
    return this.#progress
  }

  get failure(): string | undefined {
    return this.#failure
  }

  /** That it tells nothing any more, where it does not: a process that was stopped, or hangs, says nothing of that. */
  get silence(): string | undefined {
    const silentMs = performance.now() - this.#heardAt
    return silentMs < silentMaxMs ? undefined : `it has told nothing for ${Math.floor(silentMs / 1_000)} s`
  }

  /** For the metrics; undefined before it could look the first time. */
  get readings(): VerifierReadings | undefined {
    return this.#progress && { ...this.#progress, rewritten: this.#rewritten }
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
    await pause(startMs)
    while (!signal.aborted) {
      await this.#runOnce(signal)
      if (!signal.aborted) await pause(restartMs)
    }
  }

  async #runOnce(signal: AbortSignal): Promise<void> {
    const { logger } = this.#events
    const child = fork(program, ['verify', '--watch'], {
      // Its lines are for people; it tells us more by messages.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [`--max-old-space-size=${heapMib}`, '--max-semi-space-size=4'],
    })
    child.on('message', (message: Message) => this.#take(message))
    child.on('error', (error) => logger.error({ err: error }, 'the verifier cannot be started'))
    const ended = once(child, 'exit').catch(() => [])
    this.#heardAt = performance.now()
    const watching = setInterval(() => this.#endHung(child), silentMaxMs)
    const stop = (): void => endChild(child)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    const [status, by] = (await ended) as [number | null | undefined, string | null | undefined]
    clearInterval(watching)
    signal.removeEventListener('abort', stop)
    if (signal.aborted) return
    this.#hasEnded = true
    logger.error({ status, signal: by }, 'the verifier has ended; it is started again')
  }

  /** A process that was stopped, or hangs, is another one's place. */
  #endHung(child: ChildProcess): void {
    const silentMs = performance.now() - this.#heardAt
    if (silentMs < hungMs) return
    this.#events.logger.error({ silentMs: Math.floor(silentMs) }, 'the verifier tells nothing any more; it is ended')
    child.kill('SIGKILL')
  }

  #take(message: Message): void {
    const { logger, onFinding } = this.#events
    this.#heardAt = performance.now()
    switch (message.kind) {
      case 'progress':
        this.#takeMissed(message.progress.missed)
        this.#sayProgress(message.progress)
        this.#progress = message.progress
        this.#hasEnded = false
        return
      case 'finding':
        this.#sayFinding(message.finding)
        onFinding(raisedFinding(message.finding, message.evidence))
        return
      case 'failed':
        if (this.#failure === undefined) logger.error({ reason: message.reason }, 'the verifier cannot check')
        this.#failure = message.reason
        return
      case 'unchecked':
        logger.warn({ reason: message.reason }, 'the verifier does not check all')
        return
      case 'rewritten':
        this.#rewritten++
        logger.warn({ from: message.from, to: message.to }, 'rows were written again and say what they said')
        return
      case 'unstored':
        logger.error({ reason: message.reason }, 'a finding or the progress of the verifier could not be stored')
    }
  }

  #takeMissed(missed: string | undefined): void {
    const { logger } = this.#events
    if (missed === undefined && this.#failure !== undefined) logger.info('the verifier can check again')
    if (missed !== undefined && missed !== this.#failure) {
      logger.error({ reason: missed }, 'the verifier cannot check all')
    }
    this.#failure = missed
  }

  /** Only of progress: of a verifier that does not check any more there are no lines. */
  #sayProgress(progress: WatchProgress): void {
    const isNew = progress.checkedMs !== undefined && progress.checkedMs !== this.#progress?.checkedMs
    const now = performance.now()
    if (!isNew || now - this.#saidAt < lineMs) return
    this.#saidAt = now
    const { logger } = this.#events
    if (progress.findings === 0) logger.info({ isSecure: true, ...progress }, 'verified')
    else logger.warn({ isSecure: false, ...progress }, 'verified, and there are findings')
  }

  /** At once: its incident cannot be opened while the database is away. */
  #sayFinding({ violationType, sequenceNumber, detail }: KnownFinding): void {
    this.#events.logger.error({ violationType, sequenceNumber, detail }, 'the verifier found a violation')
  }
}

/** A stop of the log that is a violation opens an incident too: it may come before the verifier's round. */
export function raiseStop(alarms: Alarms, stop: LogIncident, place: LogPlace): void {
  const finding = findingOfStop(stop, place)
  if (finding !== undefined) alarms.raise(finding)
}

/** A server's verifier, with what it tells: incidents and their hooks, the dead-man service. */
export type ServedVerifier = {
  readonly verifier: Verifier | undefined
  readonly office: IncidentOffice
  readonly alarms: Alarms
  /** What may keep the log from signing. */
  readonly publishing: PublishingStop
  /** Where it stands: by its word, or before it has said any by what the last one left in the data folder. Never rejects. */
  readonly readStanding: () => Promise<VerifierStanding>
  /** Runs until `signal` aborts. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

export async function openVerifier(
  config: Config,
  instance: Instance,
  database: Database,
  { state }: Stateful,
  signAct: SignAct,
  tokens: () => TokenOffice,
  logger: Logger,
  metrics: Metrics,
): Promise<ServedVerifier> {
  const [{ origin }, { schema }] = [instance, database]
  const verifiedSize = (): number | undefined => verifier?.progress?.verifiedSize
  const publishing = await PublishingStop.open(config.dataDir, Date.now)
  const parts = {
    query: state.query,
    config,
    instance,
    database,
    office: () => office,
    tokens,
    publishing,
    verifiedSize,
    logger,
  }
  const containment = await openContainment(parts)
  const { alarms, office } = openAlarms(
    {
      ...{ query: state.query, schema, origin, signAct, nowMs: Date.now, by: 'dendrolog' },
      onHandedOver: (finding, id) => containment.contain({ id, finding }),
      onClosed: ({ key }) => forgetClosed(config, instance, key, logger),
      ...{ hooks: await openHooks(config.hooks, Date.now), makeId: () => formatUuid(makeId()) },
    },
    logger,
    metrics,
  )
  const verifier = config.verifies ? new Verifier({ logger, onFinding: (finding) => alarms.raise(finding) }) : undefined
  const run = async (signal: AbortSignal): Promise<void> => {
    const heartbeat = config.heartbeat && openHeartbeat(config.heartbeat, Date.now, logger, metrics)
    const beating = verifier && heartbeat && beat(() => verifier, heartbeat, signal)
    await Promise.all([verifier?.run(signal), beating, alarms.run(signal), containment.run(signal)])
  }
  const readStanding = (): Promise<VerifierStanding> => standingOf(config, instance, verifier)
  return { verifier, office, alarms, publishing, readStanding, run }
}

/** The incident is closed, whatever becomes of this. */
async function forgetClosed(config: Config, { origin, keys }: Instance, key: string, logger: Logger): Promise<void> {
  try {
    await forgetIncident(config, { origin, sealKey: keys.sealKey }, key)
  } catch (error) {
    logger.warn({ err: error }, 'the verifier was not told that an incident was closed')
  }
}

type Reached = Omit<VerifierStanding, 'runsHere' | 'failure' | 'savedMs' | 'withinHours'>

const nothingKnown: Reached = {
  ...{ size: null, verifiedSize: null, checkedMs: null, coveredMs: null },
  ...{ ranges: null, rangesDone: null, findings: null },
}

async function standingOf(
  config: Config,
  instance: Instance,
  verifier: Verifier | undefined,
): Promise<VerifierStanding> {
  const { progress } = verifier ?? {}
  const reached = progress === undefined ? await readReached(config, instance) : reachedOf(progress)
  return {
    ...(reached ?? nothingKnown),
    runsHere: config.verifies,
    failure: reached === undefined ? 'what it remembers cannot be read' : failureOf(verifier),
    savedMs: await stat(statePath(config)).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    ),
    withinHours: config.verifyWithinHours,
  }
}

function failureOf(verifier: Verifier | undefined): string | null {
  if (verifier?.failure !== undefined) return storableText(verifier.failure, failureCharactersMax)
  return verifier?.hasEnded === true ? 'its process has ended; it is started again' : (verifier?.silence ?? null)
}

function reachedOf({ checkedMs, missed: _, scanned: _scanned, ...progress }: WatchProgress): Reached {
  return { ...progress, checkedMs: checkedMs ?? null }
}

/** Undefined where the file is not what a verifier of this log wrote, or cannot be read. */
async function readReached(config: Config, { origin, keys }: Instance): Promise<Reached | undefined> {
  try {
    const state = await readState(config, { origin, sealKey: keys.sealKey })
    if (state === undefined) return nothingKnown
    const { base, look, rangeRoots, sweep, findings } = state
    return {
      ...{ ...nothingKnown, verifiedSize: base.size, checkedMs: look.checkedMs },
      ...{ coveredMs: coveredMsOf(state), findings: findings.length },
      ...{ ranges: rangeRoots.length, rangesDone: Math.min(sweep.next, rangeRoots.length) },
    }
  } catch {
    return undefined
  }
}

function endChild(child: ChildProcess): void {
  child.kill('SIGTERM')
  setTimeout(() => child.kill('SIGKILL'), stopMs).unref()
}
