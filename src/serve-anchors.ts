// What `serve` wires of the time stamps that checkpoints get.

import { encodeUtf8 } from '../tlog/bytes.ts'
import { formatUuid } from '../tlog/uuid.ts'
import { type Anchored, defaultPace, runAnchoring } from './anchor/anchoring.ts'
import { type KnownAuthority, readAuthorities } from './anchor/authorities-file.ts'
import { encodeStampEvidence, stampKindOf } from './anchor/evidence.ts'
import { requestTimeStamp } from './anchor/time-stamp-client.ts'
import { type Config, ConfigError } from './config.ts'
import type { Alarms } from './incident/alarms.ts'
import { makeId } from './ingest/make-id.ts'
import type { Database } from './instance.ts'
import type { Log } from './log/log.ts'
import { reportStamps } from './log/report.ts'
import { describeError } from './ops/describe-error.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics } from './ops/metrics.ts'
import { insertAnchor, readAnchoredSize } from './store/anchors.ts'
import type { StoredCheckpoint } from './store/checkpoints.ts'
import { openPool } from './store/session.ts'

const stampTimeoutMs = 15_000
const queryTimeoutMs = 10_000

/** The authorities of the setting; none where it is not set. ConfigError where the file cannot be used. */
export async function readStampAuthorities({
  timeStamps,
}: Pick<Config, 'timeStamps'>): Promise<readonly KnownAuthority[]> {
  if (timeStamps === undefined) return []
  try {
    return await readAuthorities(timeStamps)
  } catch (error) {
    throw new ConfigError('DENDROLOG_TIME_STAMPS', `${timeStamps}: ${describeError(error).message}`)
  }
}

type Parts = {
  readonly config: Config
  readonly log: Log
  readonly database: Database
  readonly alarms: Pick<Alarms, 'raise'>
  readonly logger: Logger
  readonly metrics: Metrics
}

/** Has what this server publishes, while it leads, stamped by all authorities until `signal` aborts. Never rejects. */
export async function runStamping(
  authorities: readonly KnownAuthority[],
  parts: Parts,
  signal: AbortSignal,
): Promise<void> {
  if (authorities.length === 0) return
  const { config, log, database, alarms, logger, metrics } = parts
  const pool = openPool(database.connections.signer, 1, queryTimeoutMs)
  const report = reportStamps(logger, metrics)
  const pace = { ...defaultPace, entries: config.stampEntries, everyMs: config.stampSeconds * 1_000 }
  const onAnchored = (anchored: Anchored<StoredCheckpoint>): void => {
    report.onAnchored(anchored)
    if (Math.abs(anchored.skewMs) > config.stampSkewMs) alarms.raise(findingOfSkew(anchored))
  }
  const stampBy = async ({ name, url, roots, policy }: KnownAuthority): Promise<void> =>
    runAnchoring<StoredCheckpoint>(
      {
        ...{ authority: name, pace, onAnchored, onFailed: report.onFailed },
        newest: () => (log.health.isLeader ? log.published : undefined),
        readAnchoredSize: () => readAnchoredSize(pool.query, database.schema, stampKindOf(name)),
        stamp: (note, aborted) =>
          requestTimeStamp({ url, roots, policy, timeoutMs: stampTimeoutMs }, encodeUtf8(note), aborted),
        store: async ({ checkpoint, stamp }) => {
          const evidence = encodeStampEvidence(name, stamp)
          const anchor = { checkpointNumber: checkpoint.number, kind: stampKindOf(name), evidence }
          await insertAnchor(pool.query, database.schema, formatUuid(makeId()), anchor)
        },
      },
      signal,
    )
  try {
    await Promise.all(authorities.map(stampBy))
  } finally {
    await pool.close()
  }
}

/** One of the two clocks is wrong; which, the other authorities tell. */
function findingOfSkew({
  authority,
  checkpoint,
  skewMs,
  stamp,
}: Anchored<StoredCheckpoint>): Parameters<Alarms['raise']>[0] {
  const [distance, side] = [Math.round(Math.abs(skewMs)), skewMs > 0 ? 'ahead of' : 'behind']
  return {
    violationType: 'STAMP_CLOCK_SKEW',
    place: `authority ${authority}`,
    detail: `the clock of time-stamp authority ${authority} is ${distance} ms or more ${side} the log's`,
    evidence: { authority, checkpoint: checkpoint.number, skewMs, stampedAtUs: stamp.checked.time },
  }
}
