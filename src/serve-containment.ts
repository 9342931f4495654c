// What a server does about incidents on its own, where a setting asks for it.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseBase64 } from '../tlog/bytes.ts'
import { parseVkey } from '../tlog/note-key.ts'
import { signatureReview } from './audit/signature-review.ts'
import { identityOf } from './auth/token.ts'
import type { TokenOffice } from './auth/token-office.ts'
import { type Config, ConfigError } from './config.ts'
import type { ContainmentMeasure } from './containment-settings.ts'
import { Containment, type Measure } from './incident/containment.ts'
import { readHolds } from './incident/holds.ts'
import type { IncidentOffice } from './incident/incident-office.ts'
import { lockWriterLogin } from './incident/locked-writer.ts'
import { pinCheckpoint } from './incident/pinned-checkpoint.ts'
import type { PublishingStop } from './incident/publishing-stop.ts'
import { revokeWriters } from './incident/revoked-writers.ts'
import { takeSnapshot } from './incident/snapshot.ts'
import { type Database, expectedLogin, type Instance, withPool } from './instance.ts'
import { encodeCell } from './log/signer-cell.ts'
import { deliverMs } from './ops/hooks/hook.ts'
import type { Logger } from './ops/logger.ts'
import { type BaseBackup, readFreeBytes, takeBaseBackup } from './store/base-backup.ts'
import { readNewestCheckpointsTo } from './store/checkpoints.ts'
import { openReadSession } from './store/copy-out.ts'
import type { Cluster } from './store/embedded.ts'
import { readWritersOf } from './store/forensics.ts'
import type { Query } from './store/session.ts'
import type { StoredToken } from './store/tokens.ts'
import { lockWriter, readLogin, readWriterLockProblem } from './store/writer-lock.ts'

/** Stored checkpoints that are looked at for one that the log signed. */
const checkpointsMax = 1_000
const settingName = 'DENDROLOG_CONTAINMENT'
const tokensAtOnce = 500
const askEveryMs = 100

export type ContainmentParts = {
  readonly config: Config
  readonly instance: Instance
  readonly database: Database
  /** Where what was done is written down; asked only when something was found. */
  readonly office: () => IncidentOffice
  /** Of the login that keeps state. */
  readonly query: Query
  readonly publishing: PublishingStop
  /** Asked only when something was found. */
  readonly tokens: () => TokenOffice
  readonly verifiedSize: () => number | undefined
  readonly logger: Logger
}

/** Throws ConfigError where a measure could not be carried out. */
export async function openContainment(parts: ContainmentParts): Promise<Containment> {
  if (parts.config.containment.measures.includes('lock-writer')) await checkMayLock(parts)
  const { config, office, logger } = parts
  return new Containment({
    dataDir: config.dataDir,
    measures: config.containment.measures.map((name) => measures[name](parts)),
    untilTold: (id, signal) => untilTold(office(), id, signal),
    tell: (id, done) => office().addContainment(id, done, 'dendrolog'),
    onContained: (incident, { measure, isDone, detail }) => {
      if (isDone) logger.error({ incident, measure, detail }, 'an incident was contained')
      else logger.error({ incident, measure, detail }, 'an incident could not be contained')
    },
    onFailed: (error) => logger.error({ err: error }, 'what was done about an incident cannot be written down yet'),
    nowMs: Date.now,
  })
}

const measures: Readonly<Record<ContainmentMeasure, (parts: ContainmentParts) => Measure>> = {
  'stop-publishing': ({ publishing }) => publishing.measure(),
  'lock-writer': ({ config, database: { schema }, query }) =>
    lockWriterLogin({
      ...{ dataDir: config.dataDir, writer: expectedLogin(config, 'writer').role, nowMs: Date.now },
      lock: () => lockWriter(query, schema),
    }),
  'revoke-writers': ({ tokens, database: { connections, schema } }) =>
    revokeWriters({
      readWriters: (first, last) => withPool(connections.reader, (query) => readWritersOf(query, schema, first, last)),
      readTokens: () => allTokens(tokens()),
      identityOf,
      revoke: (id) => tokens().revoke(id, 'dendrolog'),
    }),
  'pin-checkpoint': ({ instance: { keys, cell }, database: { connections, schema }, verifiedSize }) => {
    const review = signatureReview(parseVkey(keys.vkey), parseBase64(keys.sthPublicKey))
    return pinCheckpoint({
      verifiedSize,
      readStored: (size) =>
        withPool(connections.reader, (query) => readNewestCheckpointsTo(query, schema, size, checkpointsMax)),
      isSigned: (checkpoint) => review(checkpoint) === undefined,
      readMemory: () => cell.read(),
    })
  },
  snapshot: ({ config, instance: { origin, cell }, database: { cluster, connections, schema } }) =>
    takeSnapshot({
      evidence: {
        ...{ origin, schema, names: { schema: config.schema, prefix: config.rolePrefix }, nowMs: Date.now },
        openReader: () => openReadSession(connections.reader),
        openCatalog: () => openReadSession(cluster?.config ?? connections.reader),
        readMemory: async () => {
          const memory = await cell.read()
          return memory && (JSON.parse(encodeCell(memory)) as unknown)
        },
      },
      takeBackup: cluster && ((folder, label, signal) => backUp(config, cluster, folder, label, signal)),
      command: config.containment.snapshotCommand,
    }),
}

function backUp(
  { dataDir }: Config,
  { config: admin }: Cluster,
  folder: string,
  label: string,
  signal: AbortSignal,
): Promise<BaseBackup> {
  const pg = join(dataDir, 'pg')
  return takeBaseBackup({ admin, pg, folder, label, freeBytes: readFreeBytes, nowMs: Date.now }, signal)
}

/** A server whose writer's login is locked cannot write, and is not to be started as if nothing were. */
export async function refuseLockedWriter({ dataDir }: Config): Promise<void> {
  const { writer } = await readHolds(dataDir)
  if (writer === undefined) return
  const since = `the writer's login was locked at ${writer.at} because of incident ${writer.incident}`
  throw new ConfigError(settingName, `${since}; \`dendrolog incident release\` unlocks it`)
}

async function checkMayLock({ config, database: { connections, schema }, query }: ContainmentParts): Promise<void> {
  const { role } = expectedLogin(config, 'writer')
  const login = await withPool(connections.writer, readLogin)
  const problem =
    login === role
      ? await readWriterLockProblem(query, schema, role)
      : `the writer logs in as ${login}, and not as ${role}`
  if (problem !== undefined) throw new ConfigError(settingName, `lock-writer cannot be used: ${problem}`)
}

async function* allTokens(office: TokenOffice): AsyncGenerator<StoredToken> {
  for (let after: string | undefined; ; ) {
    const page = await office.list(after, tokensAtOnce)
    yield* page
    after = page.at(-1)?.id
    if (page.length < tokensAtOnce) return
  }
}

/** A hook that hangs is given up after its own time; a queue that cannot be read was told from memory. */
async function untilTold(office: IncidentOffice, id: string, signal: AbortSignal): Promise<void> {
  const until = performance.now() + deliverMs
  while (!signal.aborted && performance.now() < until) {
    const alarms = await office.alarmsOf(id).catch(() => [])
    if (alarms.every(({ state, lastError }) => state !== 'pending' || lastError !== null)) return
    await sleep(askEveryMs, undefined, { signal }).catch(() => {})
  }
}
