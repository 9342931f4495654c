import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from '../api/app.ts'
import { ByteBudget } from '../api/byte-budget.ts'
import { createHttpServer } from '../api/listener.ts'
import { describeFailing } from '../api/routes/log.ts'
import type { Server } from '../api/server.ts'
import { TokenAuthenticator } from './auth/token.ts'
import type { Config } from './config.ts'
import { makeId } from './ingest/make-id.ts'
import {
  type Database,
  expectedLogin,
  type Instance,
  keysFolderOf,
  openDatabase,
  openInstance,
  tokenFilePath,
} from './instance.ts'
import { isShared } from './log/cell-place.ts'
import { systemClock } from './log/clock.ts'
import { IncidentRecord } from './log/incident-record.ts'
import { Log } from './log/log.ts'
import { reportFollowers, reportIncidents, reportRequests, reportUnrecorded } from './log/report.ts'
import { hashSecret } from './log/seal.ts'
import { openSignerIn, signingThread } from './log/signing-thread.ts'
import { createLogger, type Logger } from './ops/logger.ts'
import { createMetrics, type Metrics, type Readings } from './ops/metrics.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import { boundConnections, readOpenFilesMax } from './ops/open-files.ts'
import type { SpareThread } from './ops/thread-calls.ts'
import { openSearchTables, type SearchTables } from './search/search-tables.ts'
import { cellPlaceOf } from './signer-state.ts'
import { readCheckpointsAfter } from './store/checkpoints.ts'
import { committingThread, openCommitterIn } from './store/committer.ts'
import { entryReads, findSequenceNumber } from './store/entries.ts'
import { LoginWatch } from './store/logins.ts'
import { insertQuarantined } from './store/quarantine.ts'
import { openPool, type Pool } from './store/session.ts'

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
/** Longer than what any request waits for; then whoever started the server wants it gone. */
const stopMaxMs = 60_000
/** npm passes an interrupt on that the terminal has sent to the server as well: so close together they are one. */
const sameSignalMs = 1_000

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
  const notify = (message: string): void => logger.debug({ database: message }, 'database')
  const database = await openDatabase(config, notify, signal)
  for (const { version, name } of database.applied) logger.info({ version, name }, 'migration applied')
  try {
    await serveDatabase(config, database, logger, signal, onListening)
  } finally {
    await database.close()
  }
  logger.info('stopped')
}

function endHardLater(logger: Logger): void {
  const startedAt = performance.now()
  const end = (reason: string): void => {
    logger.error({ reason }, 'ended before everything was answered')
    process.exit(2)
  }
  setTimeout(end, stopMaxMs, `stopping took ${stopMaxMs} ms`).unref()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (performance.now() - startedAt > sameSignalMs) end(`another ${name}`)
    })
  }
}

async function serveDatabase(
  config: Config,
  database: Database,
  logger: Logger,
  signal: AbortSignal,
  onListening: (listening: Listening) => void,
): Promise<void> {
  const instance = await openInstance(config, database, Date.now())
  const stateful = openStateful(database)
  const record = new IncidentRecord(stateful.state.query, database.schema, reportUnrecorded(logger))
  const metrics: Metrics = createMetrics(() => readingsOf(server))
  const threads = threadsOf(config, database, instance)
  const log = await openLog(config, database, instance, logger, record, metrics, threads)
  const watch = watchLogins(config, log, stateful, logger)
  const search = openSearchTables({ read: stateful.state.query, follow: stateful.follow.query }, database.schema, {
    publishedSize: () => log.published.treeSize,
    mustFill: () => log.health.code !== 'NOT_LEADER',
    onFailed: reportFollowers(logger, metrics.followerFailures),
  })
  const server: Server = createServer(config, database, instance, log, search, stateful, watch, logger, metrics)
  const stopLog = new AbortController()
  const running = log.run(stopLog.signal)
  const stopFollowing = new AbortController()
  const following = search.run(stopFollowing.signal)
  const stopRecord = new AbortController()
  const recording = record.run(stopRecord.signal)
  try {
    const { http, close } = createHttpServer(createApp(server))
    await limitConnections(http, logger)
    http.listen({ port: config.port, host: config.host, backlog: connectBacklog })
    await once(http, 'listening')
    await untilOpen(log, signal)
    const problem = await readProblem(server)
    onListening(listeningOf(config, instance, (http.address() as AddressInfo).port, problem))
    if (!signal.aborted) await once(signal, 'abort')
    logger.info('stopping: answering what was accepted')
    // No new connections; requests that are under way are answered, for which the log must still run.
    const closed = close(running)
    stopLog.abort()
    await Promise.all([closed, running])
  } finally {
    stopLog.abort()
    await running
    stopRecord.abort()
    stopFollowing.abort()
    await Promise.all([recording, following])
    const { state, follow, quarantine } = stateful
    await Promise.all([log.close(), state.close(), follow.close(), quarantine.close()])
    await Promise.all([instance.cell.close(), threads.signing.close(), threads.committing.close()])
  }
}

function openLog(
  config: Config,
  database: Database,
  instance: Instance,
  logger: Logger,
  record: IncidentRecord,
  { commitSeconds, batchEntries, publishSeconds }: Metrics,
  { signing, committing }: Threads,
): Promise<Log> {
  const { writer, reader, signer } = database.connections
  const report = reportIncidents(logger)
  return Log.open({
    origin: instance.origin,
    keys: instance.keys,
    cell: instance.cell,
    standsBy: isShared(cellPlaceOf(config)),
    schema: database.schema,
    hash: nativeSha256,
    clock: systemClock,
    ...{ writer, reader, signer },
    poolLimits: { entriesMax: config.poolEntriesMax, bytesMax: config.poolBytesMax },
    batchLimits: { entriesMax: config.batchEntriesMax, bytesMax: config.batchBytesMax },
    checkpointIntervalMs: config.checkpointIntervalMs,
    resignIntervalMs: config.resignIntervalMs,
    openSigner: () => openSignerIn(signing),
    openCommitter: () => openCommitterIn(committing),
    prepareLeading: () => {
      signing.prepare()
      committing.prepare()
    },
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

/** What the leader works in; started before they are needed by a server that stands by. */
type Threads = { readonly signing: SpareThread; readonly committing: SpareThread }

function threadsOf(config: Config, { connections, schema }: Database, { origin }: Instance): Threads {
  const { writer, signer } = connections
  const [keysFolder, cell] = [keysFolderOf(config), cellPlaceOf(config)]
  return {
    signing: signingThread({ origin, keysFolder, cell, config: signer, schema, statementTimeoutMs: signerTimeoutMs }),
    committing: committingThread({ config: writer, schema, idleTimeoutMs: writerIdleTimeoutMs }),
  }
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

function createServer(
  config: Config,
  { schema }: Database,
  { origin, keys }: Instance,
  log: Log,
  search: SearchTables,
  { state, quarantine }: Stateful,
  watch: LoginWatch,
  logger: Logger,
  metrics: Metrics,
): Server {
  const tokens = new TokenAuthenticator(state.query, schema, (secret) => hashSecret(keys.sealKey, secret))
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
      },
      makeId,
      hash: nativeSha256,
    },
    publicEntries: config.publicEntries,
    authenticate: (secret) => tokens.authenticate(secret),
    entries: entryReads(log.reader.query, schema),
    search,
    readCheckpoints: (after, limit) => readCheckpointsAfter(log.reader.query, schema, after, limit),
    findSequenceNumber: (id) => findSequenceNumber(log.reader.query, schema, id),
    failingLogins: () => watch.failing(),
    metrics,
    publicMetrics: config.publicMetrics,
    onUnexpected: reportRequests(logger),
  }
}

function readingsOf({ log, search, bodyBudget }: Server): Readings {
  const { pendingEntries, integratedSize, publishedSize, isReady, isLeader } = log.health
  const [publishedAtMs, searchedSize] = [log.published.timestampMs, search.position()]
  return {
    ...{ pendingEntries, integratedSize, publishedSize, isReady, isLeader, publishedAtMs },
    searchedSize,
    bodyBytes: bodyBudget.bytesTaken,
  }
}

/** A process without a free file can neither accept nor remember what it signed. */
async function limitConnections(http: HttpServer, logger: Logger): Promise<void> {
  const openFiles = await readOpenFilesMax()
  const connections = boundConnections(http.maxConnections, openFiles)
  if (connections === http.maxConnections) return
  const bounds = { connections, insteadOf: http.maxConnections, openFiles }
  logger.warn(bounds, 'fewer connections than otherwise: raise the limit of open files (ulimit -n)')
  http.maxConnections = connections
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

/** What a client needs first. */
function listeningOf(config: Config, { origin, keys }: Instance, port: number, problem: string | undefined): Listening {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  const url = `http://${host}:${port}`
  return { problem, origin, url, vkey: keys.vkey, tokens: resolve(tokenFilePath(config)) }
}
