import { resolve } from 'node:path'
import { formatUuid } from '../../../tlog/uuid.ts'
import type { Finding } from '../../audit/finding.ts'
import type { EntryRange } from '../../audit/range-check.ts'
import { openRangeWork } from '../../audit/range-work.ts'
import { askOutside } from '../../audit/reconcile.ts'
import { emptyState, type KnownFinding, type VerifierState } from '../../audit/verifier-state.ts'
import { Watch } from '../../audit/watch.ts'
import type { WatchTiming } from '../../audit/watch-timing.ts'
import { type Config, ConfigError, readConfig } from '../../config.ts'
import { makeId } from '../../ingest/make-id.ts'
import { schemaNames } from '../../instance.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { openReadSession, type ReadConfig } from '../../store/copy-out.ts'
import { insertFinding, insertProgress } from '../../store/findings.ts'
import { openPool } from '../../store/session.ts'
import { withLocalLogin } from '../local-login.ts'
import { openEvidenceReview } from './evidence-review.ts'
import { readKnowledge } from './knowledge.ts'
import { openSchemaCheck } from './open-schema-check.ts'
import { forgetSettled, type OwnLog, openMemory, readState } from './state.ts'

/** What is told while a verifier works. */
export type WatchEvents = {
  readonly onFinding: (known: KnownFinding, finding: Finding) => void
  readonly onNotChecked: (reason: string) => void
  /** A finding could be told, but not be stored in the database. */
  readonly onUnstored: (error: unknown) => void
  /** Rows were written again since they were looked at, and say what they said: somebody was there. */
  readonly onRewritten: (range: EntryRange) => void
}

/** By when a verifier will have looked again; null where that is not known. */
export type DueOf = (config: Config) => () => number | null

/** A verifier of the log in the data folder. */
export type OpenedWatch = { readonly watch: Watch; readonly close: () => Promise<void> }

const hourMs = 3_600_000
/** Of the time within which all is to be hashed again: a verifier may stand still for a while. */
const coverShare = 0.8
const statementTimeoutMs = 10_000

/** Works with a verifier of the log in the data folder; its login is the verifier's. */
export function withWatch<T>(
  events: WatchEvents,
  dueOf: DueOf,
  signal: AbortSignal,
  work: (watch: Watch) => Promise<T>,
): Promise<T> {
  const config = readConfig()
  return withLocalLogin(config, 'verifier', signal, async (login) => {
    const { watch, close } = await openWatch(config, login, dueOf(config), events)
    try {
      return await work(watch)
    } finally {
      await close()
    }
  })
}

async function openWatch(
  config: Config,
  login: ReadConfig,
  dueMs: () => number | null,
  events: WatchEvents,
): Promise<OpenedWatch> {
  const knowledge = await readKnowledge(config, {})
  const log = ownLog(config, knowledge)
  const schema = schemaNames(config)
  const memory = openMemory(config, log)
  const state = (await memory.read()) ?? emptyState
  const [session, work] = [await openReadSession(login), await openRangeWork(login, schema)]
  const pool = openPool(login, 1, statementTimeoutMs)
  const watch = new Watch(state, {
    ...{ session, work, schema, sha256: nativeSha256, nowMs: Date.now },
    ...{ isSealed: knowledge.isSealed, review: knowledge.review },
    askOutside: (stored) => askOutside(knowledge.outside, knowledge.review, stored),
    ...{ schemaCheck: await openSchemaCheck(config), onNotChecked: events.onNotChecked },
    evidence: knowledge.key && (await openEvidenceReview(config, knowledge.key)),
    ...{ onRewritten: events.onRewritten, dueMs },
    readOthers: memory.readOthers,
    save: async (next) => {
      await memory.write(next)
      await insertProgress(pool.query, schema, 'watch', next.base.size).catch(events.onUnstored)
    },
    onFinding: async (finding, known) => {
      events.onFinding(known, finding)
      // Whoever wrote to the database may keep us from it: it was told before.
      await insertFinding(pool.query, schema, rowOf(finding, known)).catch(events.onUnstored)
    },
    timing: timingOf(config),
  })
  const close = async (): Promise<void> => {
    await Promise.all([session.close(), work.close(), pool.close()])
  }
  return { watch, close }
}

/** A small log is hashed again as a whole, all the time: for what probes do not see. */
function timingOf({ verifyWithinHours, verifyProbeSeconds }: Config): Partial<WatchTiming> {
  const probeMs = verifyProbeSeconds * 1_000
  return { coverMs: coverShare * verifyWithinHours * hourMs, probeMs, rangeMs: 2 * probeMs }
}

/** What a verifier of the log in the data folder remembers; undefined before the first one. */
export async function readStatus(): Promise<VerifierState | undefined> {
  const config = readConfig()
  return readState(config, ownLog(config, await readKnowledge(config, {})))
}

/** Forgets what was found: what is still there is told again, of the newest million with the next probe. */
export async function forgetFindings(): Promise<number> {
  const config = readConfig()
  return forgetSettled(config, ownLog(config, await readKnowledge(config, {})), () => true)
}

/** Without the log's key nobody could tell whether the state was altered. */
function ownLog(config: Config, { log }: { readonly log: OwnLog | undefined }): OwnLog {
  if (log !== undefined) return log
  throw new ConfigError(
    'DENDROLOG_DATA_DIR',
    `${resolve(config.dataDir)} holds no log: a verifier that remembers needs the folder of a server; --full does not`,
  )
}

function rowOf(
  finding: Finding,
  { violationType, sequenceNumber, detail }: KnownFinding,
): Parameters<typeof insertFinding>[2] {
  return { findingId: formatUuid(makeId()), code: violationType, sequenceNumber, detail, evidence: finding }
}
