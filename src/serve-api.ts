// What `serve` wires of the HTTP side.
import { ByteBudget } from '../api/byte-budget.ts'
import { RateLimiter } from '../api/rate-limit.ts'
import type { Server } from '../api/server.ts'
import type { Tokens } from './auth/tokens.ts'
import type { Config } from './config.ts'
import type { Witnesses } from './cosign/witnesses.ts'
import { bundleSourceOf, makeBundle } from './evidence/make-bundle.ts'
import { makeId } from './ingest/make-id.ts'
import type { Database, Instance } from './instance.ts'
import type { Acts } from './log/acts.ts'
import type { Log } from './log/log.ts'
import { reportRefusals, reportRequests } from './log/report.ts'
import { readCosignedAfter } from './log/witnessed-checkpoints.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics, Readings } from './ops/metrics.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import type { SearchTables } from './search/search-tables.ts'
import type { Stateful } from './serve-log.ts'
import type { ServedVerifier } from './serve-verifier.ts'
import { readCheckpointOfSize } from './store/checkpoints.ts'
import { entryReads, findSequenceNumber } from './store/entries.ts'
import type { LoginWatch } from './store/logins.ts'
import { insertQuarantined } from './store/quarantine.ts'

/** Shippers give up after 30 s. */
const answerMaxMs = 25_000
const bodyPaceMs = 10_000
/**
 * Bodies of all requests take as much together as three of the largest, those that wait for room half of it: what is
 * made of a body takes six times as much again.
 */
const bodiesMax = 3
/** Entries that are being read take as much together; the largest alone may take more. */
const readBytesMax = 67_108_864
/** Answers for everybody: some twenty pages of checkpoints at once, or 4,096 tiles. */
const openBytesMax = 33_554_432

/** What the HTTP side stands on. */
export type Parts = {
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
  readonly verifier: ServedVerifier
  readonly witnesses: Witnesses | undefined
}

export function createServer({ config, log, search, watch, logger, metrics, acts, tokens, ...parts }: Parts): Server {
  const { schema } = parts.database
  const { origin, keys } = parts.instance
  const { quarantine } = parts.stateful
  return {
    log,
    identity: { origin, vkey: keys.vkey, sthPublicKey: keys.sthPublicKey, logId: keys.logId },
    limits: config,
    witnesses: parts.witnesses,
    publishesAfterQuorum: config.publishesAfterQuorum,
    times: { answerMs: answerMaxMs, paceMs: bodyPaceMs },
    bodyBudget: new ByteBudget(bodiesMax * config.bodyBytesMax, (bodiesMax / 2) * config.bodyBytesMax),
    readBudget: new ByteBudget(readBytesMax),
    openBudget: new ByteBudget(openBytesMax),
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
    incidents: parts.verifier.office,
    readVerifier: parts.verifier.readStanding,
    rateLimiter: new RateLimiter(),
    entries: entryReads(log.reader.query, schema),
    search,
    readCheckpoints: (after, limit) => readCosignedAfter(log.reader.query, schema, parts.witnesses, after, limit),
    readCheckpointOfSize: (size, last) => readCheckpointOfSize(log.reader.query, schema, size, last),
    makeBundle: (numbers, withPayloads) => {
      const { witnesses } = parts
      const source = bundleSourceOf(log, keys, { schema, witnesses, hash: nativeSha256 })
      return makeBundle(source, numbers, withPayloads)
    },
    findSequenceNumber: (id) => findSequenceNumber(log.reader.query, schema, id),
    failingLogins: () => watch.failing(),
    onEntriesRead: acts.noteRead,
    metrics,
    publicMetrics: config.publicMetrics,
    publicDocs: config.publicDocs,
    onUnexpected: reportRequests(logger),
    onRefused: reportRefusals(logger),
  }
}

/** For metrics. */
export function readingsOf({ log, search, bodyBudget }: Server): Readings {
  const { pendingEntries, integratedSize, publishedSize, isReady, isLeader } = log.health
  const [publishedAtMs, searchedSize] = [log.published.timestampMs, search.position()]
  return {
    ...{ pendingEntries, integratedSize, publishedSize, isReady, isLeader, publishedAtMs },
    witnessedSize: log.checkpoints.witnessed?.treeSize,
    ...{ searchedSize, searchCheckedSize: search.provenSize() },
    bodyBytes: bodyBudget.bytesTaken,
  }
}
