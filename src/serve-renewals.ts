// What `serve` wires of stamps that are stamped again before their certificates end.

import { setTimeout as sleep } from 'node:timers/promises'
import { formatMicroseconds } from '../tlog/time.ts'
import { formatUuid } from '../tlog/uuid.ts'
import { decodeStampEvidence, isStamp, stampKindOf } from './anchor/evidence.ts'
import {
  decodeRenewal,
  encodeRenewal,
  type Renewed,
  type RenewingParts,
  renewalKind,
  renewOnce,
  type StoredStamp,
} from './anchor/renewal.ts'
import type { TimeStamp } from './anchor/time-stamp-client.ts'
import type { Config } from './config.ts'
import type { Alarms } from './incident/alarms.ts'
import { makeId } from './ingest/make-id.ts'
import type { Database } from './instance.ts'
import type { Log } from './log/log.ts'
import { reportRenewals } from './log/report.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics } from './ops/metrics.ts'
import { insertAnchor, readAnchorsAfter, readNewestAnchor, type StoredAnchor } from './store/anchors.ts'
import type { Query } from './store/session.ts'

/** Who can stamp. */
export type Stamper = { readonly name: string; readonly stamp: (text: Uint8Array) => Promise<TimeStamp> }

type Parts = {
  readonly config: Pick<Config, 'stampRenewSeconds'>
  readonly log: Log
  readonly database: Database
  readonly alarms: Pick<Alarms, 'raise'>
  readonly logger: Logger
  readonly metrics: Metrics
  /** Of the signer's login. */
  readonly query: Query
}

const firstId = '00000000-0000-0000-0000-000000000000'
const lookMsMax = 3_600_000
const lookMsMin = 5_000
/** After an authority or the database gave no answer. */
const failedMs = 600_000
/** From one request for a renewal to the next at least. */
const restMs = 10_000

/**
 * Looks, while this server leads, whether stamps end within the margin of the setting, and has them stamped again: by the
 * authority itself, else by another one. Until `signal` aborts; never rejects.
 */
export async function runRenewals(stampers: readonly Stamper[], parts: Parts, signal: AbortSignal): Promise<void> {
  const marginMs = parts.config.stampRenewSeconds * 1_000
  const lookMs = Math.max(lookMsMin, Math.min(lookMsMax, marginMs / 60))
  const report = reportRenewals(parts.logger, parts.metrics)
  while (!signal.aborted) {
    const { isLeader } = parts.log.health
    let pauseMs = isLeader ? lookMs : lookMsMin
    for (const { name } of isLeader ? stampers : []) {
      try {
        const renewed = await renew(name, stampers, parts, marginMs)
        if (renewed.kind === 'renewed') report.onRenewed(name, renewed.count)
        else if (renewed.endsUs !== undefined) report.onWaiting(name, renewed.endsUs)
        if (renewed.kind === 'renewed') pauseMs = restMs
        if (renewed.kind === 'no-later-end') raiseEnding(parts.alarms, name, renewed.endsUs, marginMs)
      } catch (error) {
        if (!signal.aborted) report.onFailed(name, error)
        pauseMs = Math.min(pauseMs, failedMs)
      }
    }
    await sleep(pauseMs, undefined, { signal }).catch(() => {})
  }
}

/** Has the stamps of one authority that end soon stamped again. Rejects where the last that was asked gives no stamp. */
async function renew(of: string, stampers: readonly Stamper[], parts: Parts, marginMs: number): Promise<Renewed> {
  const { query, database } = parts
  const asked = [...stampers].sort((a, b) => Number(b.name === of) - Number(a.name === of))
  for (const [i, { name, stamp }] of asked.entries()) {
    const store: RenewingParts['store'] = async (made, covered, checkpointNumber) => {
      const anchor = { checkpointNumber, kind: renewalKind(of, name), evidence: encodeRenewal(name, made, covered) }
      await insertAnchor(query, database.schema, formatUuid(makeId()), anchor)
    }
    const readNext = (limit: number): Promise<readonly StoredStamp[]> => readUnrenewed(parts, of, limit)
    const isLast = i === asked.length - 1
    try {
      const nowUs = (): number => Date.now() * 1_000
      const renewed = await renewOnce({ stamp, readNext, store, nowUs, marginUs: marginMs * 1_000 })
      if (renewed.kind !== 'no-later-end' || isLast) return renewed
    } catch (error) {
      if (isLast) throw error
    }
  }
  return { kind: 'nothing-due', endsUs: undefined }
}

/** Somebody has to find another authority in time. */
function raiseEnding(alarms: Pick<Alarms, 'raise'>, authority: string, endsUs: number, marginMs: number): void {
  if (endsUs / 1_000 - Date.now() >= marginMs / 2) return
  const until = formatMicroseconds(endsUs)
  alarms.raise({
    ...{ violationType: 'STAMP_ENDING', place: `authority ${authority}`, evidence: { authority, until } },
    detail: `stamps of ${authority} end at ${until}, and no authority gives one that ends later`,
  })
}

/** Stamps of the authority and its stamps of stamps, behind those that were stamped again. */
async function readUnrenewed({ query, database }: Parts, of: string, limit: number): Promise<readonly StoredStamp[]> {
  const { schema } = database
  const newest = await readNewestAnchor(query, schema, renewalKind(of))
  const after = newest === undefined ? firstId : decodeRenewal(newest.evidence).lastAnchor
  const kinds = { kind: stampKindOf(of), prefix: renewalKind('').slice(0, -1), suffix: `/${of}` }
  return (await readAnchorsAfter(query, schema, kinds, after, limit)).map(stampOf)
}

function stampOf({ id, checkpointNumber, kind, evidence }: StoredAnchor): StoredStamp {
  if (!isStamp({ kind })) {
    const { token, certificates } = decodeRenewal(evidence)
    return { anchorId: id, checkpointNumber, token, certificates }
  }
  const { token, chain } = decodeStampEvidence(evidence)
  return { anchorId: id, checkpointNumber, token, certificates: chain.map(({ raw }) => new Uint8Array(raw)) }
}
