import { formatHex } from '../../../tlog/bytes.ts'
import { RangeThreads } from '../../audit/range-threads.ts'
import { type AskOutside, askOutside } from '../../audit/reconcile.ts'
import { type FindingReport, reportOf, type VerificationReport } from '../../audit/report.ts'
import type { FullPass, KnownFinding } from '../../audit/verifier-state.ts'
import { verifyLedger } from '../../audit/verify-ledger.ts'
import { type Config, ConfigError, readAuditorConfig } from '../../config.ts'
import { schemaNames } from '../../instance.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { openReadSession, type ReadConfig } from '../../store/copy-out.ts'
import { withLocalLogin } from '../local-login.ts'
import type { VkeyValues } from '../verifier-key.ts'
import { openEvidenceReview } from './evidence-review.ts'
import { type Knowledge, readKnowledge } from './knowledge.ts'
import { openSchemaCheck } from './open-schema-check.ts'
import { verifierSource } from './outside.ts'
import { rememberPass } from './state.ts'

export type FullOptions = {
  readonly vkey: VkeyValues
  readonly threads: number | undefined
  readonly onProgress: (checked: number, size: number) => void
  /** What it found could not be kept with what rounds remember. */
  readonly onUnkept: (error: unknown) => void
}

/** Of one pass, for `verify --status`: the report has all. */
const rememberedMax = 1_000

/** Verifies the ledger of the settings. Rejects where it cannot be checked. */
export async function verifyFully(options: FullOptions, signal: AbortSignal): Promise<VerificationReport> {
  const { config, readerUrl } = readAuditorConfig()
  const knowledge = await readKnowledge(config, options.vkey)
  const verify = (login: ReadConfig): Promise<VerificationReport> => run(config, login, knowledge, options, signal)
  if (readerUrl !== undefined) return verify(await openAs(readerUrl))
  return withLocalLogin(config, 'reader', signal, verify)
}

/** Of a login that cannot be used the setting is named. */
async function openAs(readerUrl: string): Promise<ReadConfig> {
  const login = { connectionString: readerUrl }
  try {
    await (await openReadSession(login)).close()
    return login
  } catch (cause) {
    throw new ConfigError('DENDROLOG_READER_URL', (cause as Error).message, { cause })
  }
}

async function run(
  config: Config,
  login: ReadConfig,
  { isSealed, review, outside, log, key, notChecked }: Knowledge,
  options: FullOptions,
  signal: AbortSignal,
): Promise<VerificationReport> {
  const schema = schemaNames(config)
  const [startedAt, startedMs] = [performance.now(), Date.now()]
  const session = await openReadSession(login)
  try {
    const threads = await RangeThreads.open({ config: login, schema }, options.threads)
    try {
      const { onProgress } = options
      const sources = [...outside.sources, ...(log === undefined ? [] : [verifierSource(config, log)])]
      const parts = { session, ranges: threads, schema, sha256: nativeSha256, isSealed, review, onProgress }
      const schemaCheck = await openSchemaCheck(config)
      const evidence = key && (await openEvidenceReview(config, key))
      const ask: AskOutside = (stored) => askOutside({ ...outside, sources }, review, stored)
      const verification = await verifyLedger({ ...parts, schemaCheck, evidence, askOutside: ask }, signal)
      const seconds = (performance.now() - startedAt) / 1_000
      const report = reportOf(verification, formatHex(verification.root), notChecked, seconds)
      if (log !== undefined) await rememberPass(config, log, passOf(report, startedMs)).catch(options.onUnkept)
      return report
    } finally {
      await threads.close()
    }
  } finally {
    await session.close()
  }
}

function passOf({ treeSize, isComplete, findings }: VerificationReport, startedMs: number): FullPass {
  const endedMs = Date.now()
  const known = (finding: FindingReport): KnownFinding => knownOf(finding, endedMs)
  return { startedMs, endedMs, size: treeSize, isComplete, findings: findings.slice(0, rememberedMax).map(known) }
}

function knownOf({ violationType, detail, key, sequenceNumber }: FindingReport, firstSeenMs: number): KnownFinding {
  const number = typeof sequenceNumber === 'number' ? sequenceNumber : null
  return { key, violationType, sequenceNumber: number, detail, firstSeenMs }
}
