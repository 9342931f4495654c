// What `serve` wires of a log and of what works on its database.
import { join } from 'node:path'
import type { Config } from './config.ts'
import { Following } from './follow.ts'
import type { PublishingStop } from './incident/publishing-stop.ts'
import { type Database, expectedLogin, type Instance, keysFolderOf } from './instance.ts'
import { isShared } from './log/cell-place.ts'
import { systemClock } from './log/clock.ts'
import type { Witnessing } from './log/cosigned.ts'
import { LogIncident } from './log/incident.ts'
import type { IncidentRecord } from './log/incident-record.ts'
import { Log } from './log/log.ts'
import { readProvedColumns } from './log/published-entries.ts'
import { reportFollowers, reportIncidents, reportSearch, reportTurns } from './log/report.ts'
import { type LogSigner, openSignerIn, signingThread } from './log/signing-thread.ts'
import { blamingTiles } from './log/tile-damage.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics } from './ops/metrics.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import type { SpareThread } from './ops/thread-calls.ts'
import type { SearchProofOptions } from './search/search-proof.ts'
import { openSearchTables, type SearchTables } from './search/search-tables.ts'
import { cellPlaceOf } from './signer-state.ts'
import { committingThread, openCommitterIn } from './store/committer.ts'
import { entryReads } from './store/entries.ts'
import { LoginWatch } from './store/logins.ts'
import { openPool, type Pool } from './store/session.ts'
import { type TileSource, tileFiler } from './tiles/tile-filer.ts'
import { TileFiles } from './tiles/tile-files.ts'

const signerTimeoutMs = 30_000
/** A stopped process loses its transaction after this time (DESIGN section 5). */
const writerIdleTimeoutMs = 5_000
/** Indexes of a segment take a second or more. */
const followTimeoutMs = 120_000
/** What is filed while it is in memory need not be read again; at 50,000 entries/s that takes 4 % of a core. */
const filerTiming = { restWhileBusy: 8 }

/** The log with its threads; what it does wrong is told and written down. */
export function openLog(
  config: Config,
  database: Database,
  instance: Instance,
  logger: Logger,
  record: IncidentRecord,
  { commitSeconds, batchEntries, publishSeconds }: Metrics,
  { signing, committing }: Threads,
  tileFiles: TileFiles | undefined,
  { publishing, witnessing }: { readonly publishing: PublishingStop; readonly witnessing: Witnessing | undefined },
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
    ...(tileFiles === undefined ? {} : { tileFiles }),
    witnessing,
    openSigner: () => openHeldSigner(publishing, () => openSignerIn(signing)),
    openCommitter: () => openCommitterIn(committing),
    prepareLeading: () => {
      signing.prepare()
      committing.prepare()
    },
    beforeReopen: async (signal) => {
      await database.cluster?.ensureRunning(signal)
      await publishing.look()
      refuseHeld(publishing)
    },
    onMeasured: (measured) => {
      if (measured.kind === 'publish') return publishSeconds.observe(measured.seconds)
      commitSeconds.observe(measured.seconds)
      batchEntries.observe(measured.entries)
    },
    onTurn: reportTurns(logger),
    onIncident: (error, place) => {
      report(error)
      record.note(error, place)
    },
  })
}

/** A signer that signs nothing while checkpoints are stopped: then the log is, and nothing is sequenced either. */
async function openHeldSigner(publishing: PublishingStop, open: () => Promise<LogSigner>): Promise<LogSigner> {
  refuseHeld(publishing)
  const signer = await open()
  return {
    get last() {
      return signer.last
    },
    sign: async (nowMs, resignAfterMs) => {
      refuseHeld(publishing)
      return signer.sign(nowMs, resignAfterMs)
    },
    close: () => signer.close(),
  }
}

function refuseHeld({ hold }: PublishingStop): void {
  if (hold === undefined) return
  const since = `no checkpoints are signed since incident ${hold.incident} was contained at ${hold.at}`
  throw new LogIncident('CONTAINED', `${since}, until \`dendrolog incident release\``)
}

/** What the leader works in; started before they are needed by a server that stands by. */
export type Threads = { readonly signing: SpareThread; readonly committing: SpareThread }

export function threadsOf(config: Config, { connections, schema }: Database, { origin }: Instance): Threads {
  const { writer, signer } = connections
  const [keysFolder, cell] = [keysFolderOf(config), cellPlaceOf(config)]
  return {
    signing: signingThread({
      ...{ origin, keysFolder, passphraseCommand: config.passphraseCommand, cell },
      ...{ config: signer, schema, statementTimeoutMs: signerTimeoutMs },
    }),
    committing: committingThread({ config: writer, schema, idleTimeoutMs: writerIdleTimeoutMs }),
  }
}

/** `search`: for those who search; `follow`: for statements of followers, which take long. */
export type Stateful = {
  readonly state: Pool
  readonly search: Pool
  readonly follow: Pool
  readonly quarantine: Pool
}

export function openStateful({ connections }: Database): Stateful {
  return {
    state: openPool(connections.state, 4, 10_000),
    search: openPool(connections.state, 2, 10_000, { keep: 2 }),
    follow: openPool(connections.state, 2, followTimeoutMs),
    quarantine: openPool(connections.writer, 2, 10_000),
  }
}

/** The search tables, their follower, and the job that proves them. */
export function openSearch(
  log: Log,
  { schema }: Database,
  { search, follow }: Stateful,
  logger: Logger,
  record: IncidentRecord,
  metrics: Metrics,
): SearchTables {
  const reads = entryReads(log.reader.query, schema)
  const tree = { query: log.reader.query, schema, hash: nativeSha256 }
  const readEntries: SearchProofOptions['readEntries'] = async (from, to) => {
    const { tiles, proofs, published: checkpoint } = log
    const read = () => readProvedColumns({ reads, tiles, proofs, checkpoint, hash: nativeSha256 }, from, to)
    try {
      return await blamingTiles(tree, checkpoint, read)
    } catch (error) {
      if (error instanceof LogIncident) record.note(error, log.place)
      throw error
    }
  }
  const onDefects = reportSearch(logger, metrics, (incident) => record.note(incident, log.place))
  return openSearchTables({ read: search, follow: follow.query }, schema, {
    publishedSize: () => log.published.treeSize,
    mustFill: () => log.health.code !== 'NOT_LEADER',
    onFailed: reportFollowers(logger, metrics.followerFailures),
    proof: { readEntries, onDefects },
  })
}

/** Undefined where there are to be none, or can be none: everything is in the database too. */
export async function openTileFiles(
  config: Config,
  { origin }: Instance,
  logger: Logger,
): Promise<TileFiles | undefined> {
  if (!config.tileFiles) return undefined
  const folder = join(config.dataDir, 'tiles')
  try {
    return await TileFiles.open(folder, origin)
  } catch (error) {
    logger.warn({ err: error, folder }, 'files of tiles cannot be used: tiles come from the database')
    return undefined
  }
}

/** Copies the published tree's full tiles until `signal` aborts. */
export async function runTileFiler(
  files: TileFiles,
  log: Log,
  logger: Logger,
  { followerFailures }: Metrics,
  signal: AbortSignal,
): Promise<void> {
  const source: TileSource = {
    readTile: (level, index, width) => log.tiles.readTile(level, index, width),
    prove: (index) => log.proofs.prove(index, log.published),
  }
  const filer = tileFiler(files, source, nativeSha256)
  const onFailed = reportFollowers(logger, followerFailures)
  await new Following(filer, { publishedSize: () => log.published.treeSize, onFailed, timing: filerTiming }).run(signal)
}

/** The signer's login is looked at by signing. */
export function watchLogins(
  config: Config,
  { reader }: Log,
  { state, quarantine }: Stateful,
  logger: Logger,
): LoginWatch {
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
