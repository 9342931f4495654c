// What `serve` wires of the anchors that checkpoints get: time stamps, and places in other logs.

import { realpath } from 'node:fs/promises'
import { encodeUtf8 } from '../tlog/bytes.ts'
import { formatUuid } from '../tlog/uuid.ts'
import { type Anchored, type AnchoringOptions, defaultPace, type MadeAnchor, runAnchoring } from './anchor/anchoring.ts'
import { type KnownAuthority, readAuthorities } from './anchor/authorities-file.ts'
import { encodeLogEvidence, encodeStampEvidence, logKindOf, stampKindOf } from './anchor/evidence.ts'
import { anchorInLog, type ExternalLog } from './anchor/external-log.ts'
import { readAnchorLogs } from './anchor/logs-file.ts'
import { requestTimeStamp, type TimeStamp } from './anchor/time-stamp-client.ts'
import { type Config, ConfigError } from './config.ts'
import type { Alarms } from './incident/alarms.ts'
import { makeId } from './ingest/make-id.ts'
import type { Database } from './instance.ts'
import type { Log } from './log/log.ts'
import { reportStamps } from './log/report.ts'
import { describeError } from './ops/describe-error.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics } from './ops/metrics.ts'
import { runRenewals } from './serve-renewals.ts'
import { insertAnchor, readAnchoredSize } from './store/anchors.ts'
import type { StoredCheckpoint } from './store/checkpoints.ts'
import { readSecretFile } from './store/secret-file.ts'
import { openPool } from './store/session.ts'

const stampTimeoutMs = 15_000
const logTimeoutMs = 60_000
const queryTimeoutMs = 10_000

/** Who anchors a log's checkpoints. */
export type Anchorers = { readonly authorities: readonly KnownAuthority[]; readonly logs: readonly ExternalLog[] }

/** Those of the settings. ConfigError where a file cannot be used. */
export async function readAnchorers(
  { timeStamps, anchorLogs }: Pick<Config, 'timeStamps' | 'anchorLogs'>,
  origin: string,
): Promise<Anchorers> {
  return {
    authorities: await fromFile('DENDROLOG_TIME_STAMPS', timeStamps, readAuthorities),
    logs: await fromFile('DENDROLOG_ANCHOR_LOGS', anchorLogs, (path) => readAnchorLogs(path, origin, readToken)),
  }
}

async function fromFile<T>(
  setting: string,
  path: string | undefined,
  read: (path: string) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  if (path === undefined) return []
  try {
    return await read(path)
  } catch (error) {
    throw new ConfigError(setting, `${path}: ${describeError(error).message}`)
  }
}

/** Orchestrators mount secrets as links. */
async function readToken(path: string): Promise<string> {
  const text = (await readSecretFile(await realpath(path)))?.trim() ?? ''
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(text)) throw new Error(`${path}: holds no token`)
  return text
}

export type AnchoringParts = {
  readonly config: Config
  readonly origin: string
  readonly log: Log
  readonly database: Database
  readonly alarms: Pick<Alarms, 'raise'>
  readonly logger: Logger
  readonly metrics: Metrics
}

/** Has what this server publishes, while it leads, anchored by all until `signal` aborts. Never rejects. */
export async function runAnchorers(
  { authorities, logs }: Anchorers,
  parts: AnchoringParts,
  signal: AbortSignal,
): Promise<void> {
  if (authorities.length + logs.length === 0) return
  const { config, origin, log, database, alarms, logger, metrics } = parts
  const { schema } = database
  const pool = openPool(database.connections.signer, 1, queryTimeoutMs)
  const report = reportStamps(logger, metrics)
  const run = (authority: string, kind: string, make: Make): Promise<void> => {
    const options: AnchoringOptions<StoredCheckpoint> = {
      ...{ authority, make, onFailed: report.onFailed },
      pace: { ...defaultPace, entries: config.stampEntries, everyMs: config.stampSeconds * 1_000 },
      newest: () => (log.health.isLeader ? log.published : undefined),
      readAnchoredSize: () => readAnchoredSize(pool.query, schema, kind),
      store: ({ checkpoint, evidence }) =>
        insertAnchor(pool.query, schema, formatUuid(makeId()), { checkpointNumber: checkpoint.number, kind, evidence }),
      onAnchored: (anchored) => {
        report.onAnchored(anchored)
        if (Math.abs(anchored.skewMs) > config.stampSkewMs) alarms.raise(findingOfSkew(anchored))
      },
    }
    return runAnchoring(options, signal)
  }
  const stampsBy = authorities.map((authority) => ({
    name: authority.name,
    stamp: (text: Uint8Array) => requestTimeStamp({ ...authority, timeoutMs: stampTimeoutMs }, text, signal),
  }))
  try {
    await Promise.all([
      ...stampsBy.map(({ name, stamp }) =>
        run(name, stampKindOf(name), async ({ note }) => madeOf(name, await stamp(encodeUtf8(note)))),
      ),
      ...logs.map((each) => run(each.name, logKindOf(each.name), (checkpoint) => anchorIn(each, checkpoint))),
      runRenewals(stampsBy, { ...parts, query: pool.query }, signal),
    ])
  } finally {
    await pool.close()
  }

  async function anchorIn(to: ExternalLog, { note, treeSize }: StoredCheckpoint): Promise<MadeAnchor> {
    const anchor = await anchorInLog(to, note, { origin, treeSize }, logTimeoutMs, signal)
    return { evidence: encodeLogEvidence(anchor), said: undefined }
  }
}

type Make = AnchoringOptions<StoredCheckpoint>['make']

function madeOf(authority: string, stamp: TimeStamp): MadeAnchor {
  return { evidence: encodeStampEvidence(authority, stamp), said: stamp.checked }
}

/** One of the two clocks is wrong; which, the other authorities tell. */
function findingOfSkew({
  authority,
  checkpoint,
  skewMs,
  said,
}: Anchored<StoredCheckpoint>): Parameters<Alarms['raise']>[0] {
  const [distance, side] = [Math.round(Math.abs(skewMs)), skewMs > 0 ? 'ahead of' : 'behind']
  return {
    violationType: 'STAMP_CLOCK_SKEW',
    place: `authority ${authority}`,
    detail: `the clock of time-stamp authority ${authority} is ${distance} ms or more ${side} the log's`,
    evidence: { authority, checkpoint: checkpoint.number, skewMs, stampedAtUs: said?.time ?? null },
  }
}
