import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from '../api/app.ts'
import { ByteBudget } from '../api/byte-budget.ts'
import { createHttpServer } from '../api/listener.ts'
import { RateLimiter } from '../api/rate-limit.ts'
import { describeFailing } from '../api/routes/log.ts'
import type { Server } from '../api/server.ts'
import { renewPair } from '../api/tls.ts'
import { openTokens, type Tokens } from './auth/tokens.ts'
import { type Config, reportConfig } from './config.ts'
import { makeId } from './ingest/make-id.ts'
import {
  type Database,
  expectedLogin,
  type Instance,
  keysFolderOf,
  openDatabase,
  openInstance,
  signerStateOf,
  tokenFilePath,
} from './instance.ts'
import type { Acts } from './log/acts.ts'
import { systemClock } from './log/clock.ts'
import { IncidentRecord } from './log/incident-record.ts'
import { Log } from './log/log.ts'
import { openLogActs } from './log/open-acts.ts'
import { readPublishedColumns } from './log/published-entries.ts'
import {
  reportFollowers,
  reportIncidents,
  reportRefusals,
  reportRequests,
  reportSearch,
  reportUnrecorded,
  reportUnwrittenUses,
} from './log/report.ts'
import { openSigningThread } from './log/signing-thread.ts'
import { endHardLater } from './ops/end-hard.ts'
import { createLogger, type Logger } from './ops/logger.ts'
import { createMetrics, type Metrics, type Readings } from './ops/metrics.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import { limitConnections } from './ops/open-files.ts'
import type { SearchProofOptions } from './search/search-proof.ts'
import { openSearchTables, type SearchTables } from './search/search-tables.ts'
import { readCheckpointsAfter } from './store/checkpoints.ts'
import { openCommitThread } from './store/committer.ts'
import { entryReads, findSequenceNumber } from './store/entries.ts'
import { LoginWatch } from './store/logins.ts'
import { insertQuarantined } from './store/quarantine.ts'
import { openPool, type Pool } from './store/session.ts'
import { isSelfSigned, type KeyPair, readKeyPair, verifiableHost } from './tls/key-pair.ts'
import { runPairWatch, watchPair } from './tls/watched-pair.ts'

const signerTimeoutMs = 30_000
/** A stopped process loses its transaction after this time (DESIGN section 5). */
const writerIdleTimeoutMs = 5_000
/** Indexes of a segment take a second or more. */
const followTimeoutMs = 120_000
/** Then the server says that it is there, whatever keeps the log. */
const openWaitMs = 10_000
/** Shippers give up after 30 s. */
const answerMaxMs = 25_000
/**
 * Bodies of all requests take as much together as three of the largest, those that wait for room half of it: what is
 * made of a body takes six times as much again.
 */
const bodiesMax = 3
/** Entries that are being read take as much together; the largest alone may take more. */
const readBytesMax = 67_108_864

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
  const notify = (message: string): void => logger.debug({ database: message }, 'database')
  const database = await openDatabase(config, notify, signal)
  for (const { version, name } of database.applied) logger.info({ version, name }, 'migration applied')
  try {
    await serveDatabase(config, database, pair, logger, signal, onListening)
  } finally {
    await database.close()
  }
  logger.info('stopped')
}

async function serveDatabase(
  config: Config,
  database: Database,
  pair: KeyPair | undefined,
  logger: Logger,
  signal: AbortSignal,
  onListening: (listening: Listening) => void,
): Promise<void> {
  const instance = await openInstance(config, database, Date.now())
  const stateful = openStateful(database)
  const record = new IncidentRecord(stateful.state.query, database.schema, reportUnrecorded(logger))
  const metrics: Metrics = createMetrics(() => ({ ...readingsOf(server), ...expiryOf(certificate?.pair) }))
  const log = await openLog(config, database, instance, logger, record, metrics)
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
  const parts = { config, database, instance, log, search, stateful, watch, logger, metrics, acts, tokens }
  const server: Server = createServer(parts)
  const { http, close } = createHttpServer(createApp(server), undefined, pair)
  const certificate = config.tls && pair && watchPair(config.tls, pair, logger, (renewed) => renewPair(http, renewed))
  const stopLog = new AbortController()
  const running = log.run(stopLog.signal)
  const stopFollowing = new AbortController()
  const following = search.run(stopFollowing.signal)
  const stopRecord = new AbortController()
  const recording = Promise.all([record.run(stopRecord.signal), tokens.uses.run(stopRecord.signal)])
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
    await Promise.all([recording, following, watching, acts.close()])
    const { state, follow, quarantine } = stateful
    await Promise.all([log.close(), state.close(), follow.close(), quarantine.close()])
  }
}

function openLog(
  config: Config,
  database: Database,
  instance: Instance,
  logger: Logger,
  record: IncidentRecord,
  { commitSeconds, batchEntries, publishSeconds }: Metrics,
): Promise<Log> {
  const { writer, reader, signer } = database.connections
  const report = reportIncidents(logger)
  return Log.open({
    origin: instance.origin,
    keys: instance.keys,
    cell: instance.cell,
    schema: database.schema,
    hash: nativeSha256,
    clock: systemClock,
    ...{ writer, reader, signer },
    poolLimits: { entriesMax: config.poolEntriesMax, bytesMax: config.poolBytesMax },
    batchLimits: { entriesMax: config.batchEntriesMax, bytesMax: config.batchBytesMax },
    checkpointIntervalMs: config.checkpointIntervalMs,
    resignIntervalMs: config.resignIntervalMs,
    openSigner: () =>
      openSigningThread({
        origin: instance.origin,
        keysFolder: keysFolderOf(config),
        cellFile: signerStateOf(config),
        config: signer,
        schema: database.schema,
        statementTimeoutMs: signerTimeoutMs,
      }),
    openCommitter: () =>
      openCommitThread({ config: writer, schema: database.schema, idleTimeoutMs: writerIdleTimeoutMs }),
    ...(database.cluster === undefined ? {} : { beforeReopen: database.cluster.ensureRunning }),
    onMeasured: (measured) => {
      if (measured.kind === 'publish') return publishSeconds.observe(measured.seconds)
      commitSeconds.observe(measured.seconds)
      batchEntries.observe(measured.entries)
    },
    onIncident: (error, place) => {
      report(error)
      record.note(error, place)
    },
  })
}

/** `follow`: for statements of followers, which take long. */
type Stateful = { readonly state: Pool; readonly follow: Pool; readonly quarantine: Pool }

function openStateful({ connections }: Database): Stateful {
  return {
    state: openPool(connections.state, 6, 10_000),
    follow: openPool(connections.state, 1, followTimeoutMs),
    quarantine: openPool(connections.writer, 2, 10_000),
  }
}

function openSearch(
  log: Log,
  { schema }: Database,
  { state, follow }: Stateful,
  logger: Logger,
  record: IncidentRecord,
  { followerFailures, searchMismatches }: Metrics,
): SearchTables {
  const reads = entryReads(log.reader.query, schema)
  const readEntries: SearchProofOptions['readEntries'] = (from, to) =>
    readPublishedColumns({ reads, tiles: log.tiles, checkpoint: log.published, hash: nativeSha256 }, from, to)
  const onDefects = reportSearch(logger, searchMismatches, (incident) => record.note(incident, log.place))
  return openSearchTables({ read: state.query, follow: follow.query }, schema, {
    publishedSize: () => log.published.treeSize,
    onFailed: reportFollowers(logger, followerFailures),
    proof: { readEntries, onDefects },
  })
}

/** The signer's login is looked at by signing. */
function watchLogins(config: Config, { reader }: Log, { state, quarantine }: Stateful, logger: Logger): LoginWatch {
  const queries = { writer: quarantine.query, reader: reader.query, state: state.query }
  const names = ['writer', 'reader', 'state'] as const
  return new LoginWatch(
    names.map((name) => ({ name, query: queries[name], ...expectedLogin(config, name) })),
    (problems) => {
      if (problems.length > 0) logger.error({ problems }, 'not ready: logins to the database do not work')
      else logger.info('all logins to the database work again')
    },
  )
}

type Parts = {
  readonly config: Config
  readonly database: Database
  readonly instance: Instance
  readonly log: Log
  readonly search: SearchTables
  readonly stateful: Stateful
  readonly watch: LoginWatch
  readonly logger: Logger
  readonly metrics: Metrics
  readonly acts: Acts
  readonly tokens: Tokens
}

function createServer({ config, log, search, watch, logger, metrics, acts, tokens, ...parts }: Parts): Server {
  const { schema } = parts.database
  const { origin, keys } = parts.instance
  const { quarantine } = parts.stateful
  return {
    log,
    identity: { origin, vkey: keys.vkey, sthPublicKey: keys.sthPublicKey, logId: keys.logId },
    limits: config,
    times: { answerMs: answerMaxMs },
    bodyBudget: new ByteBudget(bodiesMax * config.bodyBytesMax, (bodiesMax / 2) * config.bodyBytesMax),
    readBudget: new ByteBudget(readBytesMax),
    hash: nativeSha256,
    door: {
      submit: (submissions, release) => log.submit(submissions, release),
      quarantine: async (records) => {
        await insertQuarantined(quarantine.query, schema, records)
        metrics.quarantined.inc(records.length)
        acts.noteQuarantined(records)
      },
      makeId,
      hash: nativeSha256,
    },
    publicEntries: config.publicEntries,
    authenticate: (secret) => tokens.authenticator.authenticate(secret),
    tokens: tokens.office,
    rateLimiter: new RateLimiter(),
    entries: entryReads(log.reader.query, schema),
    search,
    readCheckpoints: (after, limit) => readCheckpointsAfter(log.reader.query, schema, after, limit),
    findSequenceNumber: (id) => findSequenceNumber(log.reader.query, schema, id),
    failingLogins: () => watch.failing(),
    onEntriesRead: acts.noteRead,
    metrics,
    publicMetrics: config.publicMetrics,
    onUnexpected: reportRequests(logger),
    onRefused: reportRefusals(logger),
  }
}

function readingsOf({ log, search, bodyBudget }: Server): Readings {
  const { pendingEntries, integratedSize, publishedSize, isReady } = log.health
  const [publishedAtMs, searchedSize] = [log.published.timestampMs, search.position()]
  return {
    ...{ pendingEntries, integratedSize, publishedSize, isReady, publishedAtMs, searchedSize },
    searchCheckedSize: search.provenSize(),
    bodyBytes: bodyBudget.bytesTaken,
  }
}

/** What is sent right after "ready" must not find a log that is still starting. One with an incident serves proofs. */
async function untilOpen(log: Log, signal: AbortSignal): Promise<void> {
  const until = performance.now() + openWaitMs
  while (!log.health.isReady && log.health.incident === undefined && !signal.aborted && performance.now() < until) {
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
