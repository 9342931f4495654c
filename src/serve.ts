import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { createAdaptorServer, type ServerType } from '@hono/node-server'
import { createApp } from '../api/app.ts'
import type { Server } from '../api/server.ts'
import { TokenAuthenticator } from './auth/token.ts'
import type { Config } from './config.ts'
import { makeId } from './ingest/make-id.ts'
import { type Database, type Instance, openDatabase, openInstance, tokenFilePath } from './instance.ts'
import { systemClock } from './log/clock.ts'
import { Log } from './log/log.ts'
import { hashSecret } from './log/seal.ts'
import { createLogger, type Logger } from './ops/logger.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import { openWorkerCommitter } from './store/committer.ts'
import { findSequenceNumber, readEntry } from './store/entries.ts'
import { insertQuarantined } from './store/quarantine.ts'
import { openPool, type Pool } from './store/session.ts'

/** A stopped process loses its transaction after this time (DESIGN section 5). */
const writerIdleTimeoutMs = 5_000

/** Runs a server until `signal` aborts and everything that was accepted is answered. */
export async function serve(config: Config, signal: AbortSignal): Promise<void> {
  const logger = createLogger(config.logLevel)
  const notify = (message: string): void => logger.debug({ database: message }, 'database')
  const database = await openDatabase(config, notify, signal)
  for (const { version, name } of database.applied) logger.info({ version, name }, 'migration applied')
  try {
    await serveDatabase(config, database, logger, signal)
  } finally {
    await database.cluster?.stop()
  }
  logger.info('stopped')
}

async function serveDatabase(config: Config, database: Database, logger: Logger, signal: AbortSignal): Promise<void> {
  const instance = await openInstance(config, database, Date.now())
  const log = await openLog(config, database, instance, logger)
  const stateful = openStateful(database)
  const server = createServer(config, database, instance, log, stateful, logger)
  const stopLog = new AbortController()
  const running = log.run(stopLog.signal)
  try {
    const http = await listen(config, server)
    announce(config, instance, http)
    if (!signal.aborted) await once(signal, 'abort')
    logger.info('stopping: answering what was accepted')
    // No new connections; requests that are under way are answered, for which the log must still run.
    const closed = closeHttp(http)
    stopLog.abort()
    await Promise.all([closed, running])
  } finally {
    stopLog.abort()
    await running
    await Promise.all([log.close(), stateful.state.close(), stateful.quarantine.close()])
  }
}

function openLog(config: Config, database: Database, instance: Instance, logger: Logger): Promise<Log> {
  const { writer, reader, signer } = database.connections
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
    openCommitter: () =>
      openWorkerCommitter({ config: writer, schema: database.schema, idleTimeoutMs: writerIdleTimeoutMs }),
    onIncident: (error) => logger.error({ err: error }, 'the log stopped and will be opened again'),
  })
}

type Stateful = { readonly state: Pool; readonly quarantine: Pool }

function openStateful({ connections }: Database): Stateful {
  return { state: openPool(connections.state, 2, 10_000), quarantine: openPool(connections.writer, 2, 10_000) }
}

function createServer(
  config: Config,
  { schema }: Database,
  { origin, keys }: Instance,
  log: Log,
  { state, quarantine }: Stateful,
  logger: Logger,
): Server {
  const tokens = new TokenAuthenticator(state.query, schema, (secret) => hashSecret(keys.sealKey, secret))
  return {
    log,
    identity: { origin, vkey: keys.vkey, sthPublicKey: keys.sthPublicKey, logId: keys.logId },
    limits: config,
    hash: nativeSha256,
    door: {
      submit: (submissions, release) => log.submit(submissions, release),
      quarantine: (records) => insertQuarantined(quarantine.query, schema, records),
      makeId,
      hash: nativeSha256,
    },
    publicEntries: config.publicEntries,
    authenticate: (secret) => tokens.authenticate(secret),
    readEntry: (sequenceNumber) => readEntry(log.reader.query, schema, sequenceNumber),
    findSequenceNumber: (id) => findSequenceNumber(log.reader.query, schema, id),
    onUnexpected: (error) => logger.error({ err: error }, 'request failed'),
  }
}

async function listen(config: Config, server: Server): Promise<ServerType> {
  const app = createApp(server)
  const http = createAdaptorServer({ fetch: app.fetch })
  http.listen(config.port, config.host)
  await once(http, 'listening')
  return http
}

async function closeHttp(http: ServerType): Promise<void> {
  const closed = once(http, 'close')
  http.close()
  if ('closeIdleConnections' in http) http.closeIdleConnections()
  await closed
}

/** What a newcomer pastes next. Tokens are not shown: the command reads its own from the file. */
function announce(config: Config, instance: Instance, http: ServerType): void {
  const { port } = http.address() as AddressInfo
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  const tokens = resolve(tokenFilePath(config))
  const token = `$(node -p "JSON.parse(require('fs').readFileSync('${tokens}')).writer")`
  process.stdout.write(`
dendrolog ${instance.origin} is ready on http://${host}:${port}

Append an event and keep its receipt:

  curl -sS http://${host}:${port}/v1/entries -H "Authorization: Bearer ${token}" -H 'Content-Type: application/json' \\
    -d '{"actorId":"alice","action":"document.read","resource":"doc/1","payload":{"reason":"review"}}' > receipt.json

Check it, offline:

  npx dendrolog check receipt.json --vkey '${instance.keys.vkey}'

`)
}
