import { once, setMaxListeners } from 'node:events'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from '../api/app.ts'
import { createHttpServer } from '../api/listener.ts'
import { describeFailing } from '../api/routes/log.ts'
import type { Server } from '../api/server.ts'
import { renewPair } from '../api/tls.ts'
import { openTokens, type Tokens } from './auth/tokens.ts'
import { type Config, reportConfig } from './config.ts'
import { makeId } from './ingest/make-id.ts'
import { type Database, type Instance, openDatabase, openInstance, tokenFilePath } from './instance.ts'
import { IncidentRecord } from './log/incident-record.ts'
import type { Log } from './log/log.ts'
import { openLogActs } from './log/open-acts.ts'
import { reportUnrecorded, reportUnwrittenUses } from './log/report.ts'
import { endHardLater } from './ops/end-hard.ts'
import { createLogger, type Logger } from './ops/logger.ts'
import { createMetrics, type Metrics, type Readings } from './ops/metrics.ts'
import { limitConnections } from './ops/open-files.ts'
import { readAnchorers, runAnchorers } from './serve-anchors.ts'
import { createServer, readingsOf } from './serve-api.ts'
import { refuseLockedWriter } from './serve-containment.ts'
import { openLog, openSearch, openStateful, openTileFiles, runTileFiler, threadsOf, watchLogins } from './serve-log.ts'
import { readRulesFile, serveRules } from './serve-rules.ts'
import { openVerifier, raiseStop } from './serve-verifier.ts'
import { openWitnessing, readWitnesses } from './serve-witnesses.ts'
import type { SignAct } from './store/acts.ts'
import { isSelfSigned, type KeyPair, readKeyPair, verifiableHost } from './tls/key-pair.ts'
import { runPairWatch, watchPair } from './tls/watched-pair.ts'

/** Then the server says that it is there, whatever keeps the log. */
const openWaitMs = 10_000
/**
 * Clients that connect at once. With Node's 511 the kernel dropped 1,600 to 2,900 connections of 2,048 clients that came
 * together, and each waited a second or more before it tried again; with this none (the kernel's own bound is 4,096).
 */
const connectBacklog = 4_096

/** A server that listens. */
export type Listening = {
  /** Why it takes no entries, or cannot serve all that it should; undefined where it is ready. */
  readonly problem: string | undefined
  readonly origin: string
  readonly url: string
  readonly vkey: string
  /** File of the certificate where that is its own CA: what clients must be given. */
  readonly ca: string | undefined
  /** Path of the file with the tokens of a first start. */
  readonly tokens: string
}

/**
 * Runs a server until `signal` aborts and everything that was accepted is answered. A second SIGINT or SIGTERM, or a
 * minute, then ends the process with status 2; an embedded PostgreSQL then goes on, for the next start.
 */
export async function serve(
  config: Config,
  signal: AbortSignal,
  onListening: (listening: Listening) => void,
): Promise<void> {
  const logger = createLogger(config.logLevel)
  signal.addEventListener('abort', () => endHardLater(logger), { once: true })
  // First: nothing is started for a certificate that cannot be used.
  const pair = config.tls === undefined ? undefined : await readKeyPair(config.tls)
  const rulesFile = await readRulesFile(config)
  await refuseLockedWriter(config)
  const notify = (message: string): void => logger.debug({ database: message }, 'database')
  const database = await openDatabase(config, notify, signal)
  for (const { version, name } of database.applied) logger.info({ version, name }, 'migration applied')
  try {
    await serveDatabase(config, database, { pair, rulesFile }, logger, signal, onListening)
  } finally {
    await database.close()
  }
  logger.info('stopped')
}

/** Files of others, which are read before anything is started. */
type GivenFiles = { readonly pair: KeyPair | undefined; readonly rulesFile: Uint8Array | undefined }

async function serveDatabase(
  config: Config,
  database: Database,
  { pair, rulesFile }: GivenFiles,
  logger: Logger,
  signal: AbortSignal,
  onListening: (listening: Listening) => void,
): Promise<void> {
  const instance = await openInstance(config, database, Date.now())
  const stateful = openStateful(database)
  const metrics: Metrics = createMetrics(() => ({
    ...readingsOf(server),
    ...expiryOf(certificate?.pair),
    ...{ verifier: verifier.verifier?.readings, verifyWithinHours: verifier.verifier && config.verifyWithinHours },
    watchRules: rules?.readings(),
  }))
  // What it is told while the log opens waits until it runs, and then the acts can be signed.
  const signAct: SignAct = (act) => acts.sign(act)
  const officeOfTokens = (): Tokens['office'] => tokens.office
  const anchorers = await readAnchorers(config, instance.origin)
  const known = [config, instance, database, stateful] as const
  const verifier = await openVerifier(...known, signAct, officeOfTokens, logger, metrics)
  const record = new IncidentRecord(stateful.state.query, database.schema, {
    onNoted: (stop, place) => raiseStop(verifier.alarms, stop, place),
    onFailed: reportUnrecorded(logger),
  })
  const threads = threadsOf(config, database, instance)
  const tileFiles = await openTileFiles(config, instance, logger)
  const { publishing, alarms } = verifier
  const witnesses = await readWitnesses(config, instance.keys.vkey)
  const witnessing = witnesses && openWitnessing(witnesses, { config, instance, alarms, logger, metrics })
  const holding = { publishing, witnessing }
  const log = await openLog(config, database, instance, logger, record, metrics, threads, tileFiles, holding)
  const watch = watchLogins(config, log, stateful, logger)
  const search = openSearch(log, database, stateful, logger, record, metrics)
  const acts = await openLogActs(log, instance.keys, logger, {
    ...{ query: stateful.state.query, schema: database.schema, makeId, dataDir: config.dataDir },
    ...{ settings: reportConfig(), recordsStarts: config.recordStarts, sumIntervalMs: config.actSumIntervalMs },
  })
  const tokens = openTokens({
    ...{ query: stateful.state.query, schema: database.schema, makeId, signAct: acts.sign, rates: config },
    ...{ sealKey: instance.keys.sealKey, onFailed: reportUnwrittenUses(logger) },
  })
  const { office } = verifier
  const rules = rulesFile && serveRules(rulesFile, { config, log, database, stateful, office, logger, metrics })
  const parts = {
    config,
    database,
    instance,
    log,
    search,
    stateful,
    watch,
    logger,
    metrics,
    acts,
    tokens,
    verifier,
    witnesses,
  }
  const server: Server = createServer(parts)
  const { http, close } = createHttpServer(createApp(server), undefined, pair)
  const certificate = config.tls && pair && watchPair(config.tls, pair, logger, (renewed) => renewPair(http, renewed))
  const stopLog = new AbortController()
  const running = log.run(stopLog.signal)
  const stopFollowing = new AbortController()
  // Each loop that rests listens; there are more of them than Node expects.
  setMaxListeners(0, stopFollowing.signal)
  const filing = tileFiles && runTileFiler(tileFiles, log, logger, metrics, stopFollowing.signal)
  const following = Promise.all([search.run(stopFollowing.signal), filing, rules?.run(stopFollowing.signal)])
  const stopRecord = new AbortController()
  const recording = Promise.all([record.run(stopRecord.signal), tokens.uses.run(stopRecord.signal)])
  const verifying = verifier.run(stopFollowing.signal)
  const anchoring = runAnchorers(
    anchorers,
    { config, origin: instance.origin, log, database, alarms, logger, metrics },
    stopFollowing.signal,
  )
  const stopActs = new AbortController()
  const telling = acts.run(stopActs.signal)
  const watching = certificate && runPairWatch(certificate, stopRecord.signal)
  try {
    await limitConnections(http, logger)
    http.listen({ port: config.port, host: config.host, backlog: connectBacklog })
    await once(http, 'listening')
    await untilOpen(log, signal)
    const problem = await readProblem(server)
    onListening(listeningOf(config, instance, pair, (http.address() as AddressInfo).port, problem))
    if (!signal.aborted) await once(signal, 'abort')
    logger.info('stopping: answering what was accepted')
    // No new connections; requests that are under way are answered, for which the log must still run.
    const closed = close(running)
    stopActs.abort()
    await telling
    stopLog.abort()
    await Promise.all([closed, running])
  } finally {
    stopActs.abort()
    stopLog.abort()
    await Promise.all([running, telling])
    stopRecord.abort()
    stopFollowing.abort()
    await Promise.all([recording, following, verifying, anchoring, watching, acts.close()])
    await Promise.all([log.close(), ...Object.values(stateful).map((pool) => pool.close())])
    await tileFiles?.close()
    await Promise.all([instance.cell.close(), threads.signing.close(), threads.committing.close()])
  }
}

/**
 * What is sent right after "ready" must not find a log that is still starting. One with an incident serves proofs, one
 * that stands by everything that is read.
 */
async function untilOpen(log: Log, signal: AbortSignal): Promise<void> {
  const until = performance.now() + openWaitMs
  while (!signal.aborted && performance.now() < until) {
    const { isReady, incident, code } = log.health
    if (isReady || incident !== undefined || code === 'NOT_LEADER') return
    await sleep(5)
  }
}

async function readProblem({ log, failingLogins }: Server): Promise<string | undefined> {
  const { isReady, problem, incident } = log.health
  if (!isReady) return `${incident === undefined ? '' : `${incident}: `}${problem ?? 'its head has not been signed'}`
  const failing = await failingLogins()
  return failing.length === 0 ? undefined : describeFailing(failing)
}

function expiryOf(pair: KeyPair | undefined): Pick<Readings, 'certificateExpiresAtMs'> {
  return { certificateExpiresAtMs: pair?.expiresAtMs }
}

/** What a client needs first. */
function listeningOf(
  config: Config,
  { origin, keys }: Instance,
  pair: KeyPair | undefined,
  port: number,
  problem: string | undefined,
): Listening {
  const name = pair === undefined ? config.host : verifiableHost(pair, config.host)
  const host = name.includes(':') ? `[${name}]` : name
  const url = `${pair === undefined ? 'http' : 'https'}://${host}:${port}`
  const ca = config.tls && pair && isSelfSigned(pair) ? resolve(config.tls.cert) : undefined
  return { problem, origin, url, vkey: keys.vkey, ca, tokens: resolve(tokenFilePath(config)) }
}
