// The watch rules of a server: a follower, and incidents of what it finds.
import type { Config } from './config.ts'
import { Following } from './follow.ts'
import type { IncidentOffice } from './incident/incident-office.ts'
import type { Database } from './instance.ts'
import type { Log } from './log/log.ts'
import { reportFollowers } from './log/report.ts'
import { describeError } from './ops/describe-error.ts'
import { readGivenFile } from './ops/given-file.ts'
import type { Logger } from './ops/logger.ts'
import type { Metrics, Readings } from './ops/metrics.ts'
import { nativeSha256 } from './ops/native-sha256.ts'
import { findingOfMatches, gatherMatches } from './rules/gather-matches.ts'
import { openRules, type RuleMatch } from './rules/open-rules.ts'
import { RuleFollower } from './rules/rule-follower.ts'
import { rulesBytesMax } from './rules/rules-file.ts'
import type { Stateful } from './serve-log.ts'
import { ConfigError } from './setting-values.ts'

/**
 * While the log is busy it works a ninth of the time, a fifth where it is far behind. Where rules look at eleven members of
 * payloads, an entry of 1.3 KB takes this thread 12 us and the database as long, one of 8 KB 15 and 25.
 */
const timing = { restWhileBusy: 8, restFarBehind: 4 }
const openedBy = 'dendrolog'

/** The file of the setting, whose rules can be used. Throws ConfigError with the place of what cannot. */
export async function readRulesFile({ watchRules }: Pick<Config, 'watchRules'>): Promise<Uint8Array | undefined> {
  if (watchRules === undefined) return undefined
  try {
    const file = await readGivenFile(watchRules, rulesBytesMax)
    openRules(file, { hash: nativeSha256 })
    return file
  } catch (error) {
    throw new ConfigError('DENDROLOG_WATCH_RULES', `${watchRules}: ${describeError(error).message}`)
  }
}

export type ServedRules = {
  readonly readings: () => Readings['watchRules']
  /** Runs until `signal` aborts; SIGHUP reads the file again. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

type Parts = {
  readonly config: Config
  readonly log: Log
  readonly database: Database
  readonly stateful: Stateful
  readonly office: IncidentOffice
  readonly logger: Logger
  readonly metrics: Metrics
}

export function serveRules(file: Uint8Array, parts: Parts): ServedRules {
  const { config, log, database, stateful, office, logger, metrics } = parts
  const mustTell = (): boolean => log.health.code !== 'NOT_LEADER'
  const follower = new RuleFollower({
    ...{ file, hash: nativeSha256, schema: database.schema, read: log.reader.query, state: stateful.follow.query },
    ...{ mustTell, nowMs: () => performance.now() },
    tell: (matches) => tellMatches(matches, office, logger, metrics),
    onForgetting: (rule) =>
      logger.warn({ rule }, 'a watch rule forgets what is oldest: there is more than it can keep'),
    onUnseen: (count, from, to) =>
      logger.error({ count, from, to }, 'entries are missing or damaged: the watch rules could not see them'),
    onStateLost: (error) =>
      logger.error({ reason: error.message }, 'the watch rules begin anew: their state is damaged'),
  })
  const onFailed = reportFollowers(logger, metrics.followerFailures)
  const following = new Following(follower, { publishedSize: () => log.published.treeSize, onFailed, timing })
  startCounters(file, metrics)
  const reread = async (): Promise<void> => {
    try {
      const renewed = await readRulesFile(config)
      if (renewed === undefined) return
      startCounters(renewed, metrics)
      follower.use(renewed)
      logger.info({ file: config.watchRules }, 'new entries are watched by the file as it is now')
    } catch (error) {
      logger.error({ reason: describeError(error).message }, 'the watch rules stay as they were')
    }
  }
  return {
    readings: () => {
      const size = following.position
      if (size === undefined || !mustTell()) return undefined
      return { size, lag: Math.max(0, log.published.treeSize - size) }
    },
    run: async (signal) => {
      const onHangUp = (): void => void reread()
      process.on('SIGHUP', onHangUp)
      await following.run(signal)
      process.off('SIGHUP', onHangUp)
      await follower.close().catch((error: unknown) => onFailed(follower.name, error))
    },
  }
}

/** A counter that is not there before its first match shows no increase. */
function startCounters(file: Uint8Array, { ruleMatches }: Metrics): void {
  for (const rule of openRules(file, { hash: nativeSha256 }).names) ruleMatches.inc({ rule }, 0)
}

/** Opens an incident of each rule and group, or counts once more. */
async function tellMatches(
  matches: readonly RuleMatch[],
  office: IncidentOffice,
  logger: Logger,
  { ruleMatches }: Pick<Metrics, 'ruleMatches'>,
): Promise<void> {
  for (const gathered of gatherMatches(matches)) {
    const { id: incident, isNew } = await office.open(findingOfMatches(gathered), openedBy)
    const { count, match } = gathered
    const { rule, severity, entry } = match
    const { sequenceNumber, actorId, action, resource } = entry
    logger.warn(
      { rule, severity, sequenceNumber, actorId, action, resource, count, incident, isNew },
      'a watch rule matched',
    )
    ruleMatches.inc({ rule }, count)
  }
}
