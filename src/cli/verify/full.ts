import { formatHex, parseBase64 } from '../../../tlog/bytes.ts'
import { parseVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import type { SignatureReview } from '../../audit/checkpoint-check.ts'
import type { SealCheck } from '../../audit/head-check.ts'
import type { KnownHead } from '../../audit/outside-check.ts'
import { RangeThreads } from '../../audit/range-threads.ts'
import { reportOf, type VerificationReport } from '../../audit/report.ts'
import { signatureReview } from '../../audit/signature-review.ts'
import { verifyLedger } from '../../audit/verify-ledger.ts'
import { type Config, ConfigError, readAuditorConfig } from '../../config.ts'
import { keysFolderOf, schemaNames } from '../../instance.ts'
import { openCell } from '../../log/cell-place.ts'
import { readLogFile } from '../../log/log-file.ts'
import { openKeys } from '../../log/log-keys.ts'
import { isSealed } from '../../log/seal.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { cellPlaceOf } from '../../signer-state.ts'
import { openReadSession, type ReadConfig } from '../../store/copy-out.ts'
import { withLocalLogin } from '../local-login.ts'
import { readVkey, type VkeyValues } from '../verifier-key.ts'

export type FullOptions = {
  readonly vkey: VkeyValues
  readonly threads: number | undefined
  readonly onProgress: (checked: number, size: number) => void
}

/** What this machine knows of the log beside its database. */
type Knowledge = {
  readonly isSealed: SealCheck
  readonly review: SignatureReview
  readonly known: readonly KnownHead[]
  readonly notChecked: readonly string[]
}

/** Verifies the ledger of the settings. Rejects where it cannot be checked. */
export async function verifyFully(options: FullOptions, signal: AbortSignal): Promise<VerificationReport> {
  const { config, readerUrl } = readAuditorConfig()
  const knowledge = await readKnowledge(config, options.vkey)
  const verify = (login: ReadConfig): Promise<VerificationReport> => run(config, login, knowledge, options, signal)
  if (readerUrl !== undefined) return verify({ connectionString: readerUrl })
  return withLocalLogin(config, 'reader', signal, verify)
}

async function run(
  config: Config,
  login: ReadConfig,
  { isSealed, review, known, notChecked }: Knowledge,
  options: FullOptions,
  signal: AbortSignal,
): Promise<VerificationReport> {
  const schema = schemaNames(config)
  const startedAt = performance.now()
  const session = await openReadSession(login)
  try {
    const threads = await RangeThreads.open({ config: login, schema }, options.threads)
    try {
      const { onProgress } = options
      const parts = { session, ranges: threads, schema, sha256: nativeSha256, isSealed, review, known, onProgress }
      const verification = await verifyLedger(parts, signal)
      const seconds = (performance.now() - startedAt) / 1_000
      return reportOf(verification, formatHex(verification.root), notChecked, seconds)
    } finally {
      await threads.close()
    }
  } finally {
    await session.close()
  }
}

async function readKnowledge(config: Config, vkey: VkeyValues): Promise<Knowledge> {
  const log = await readLogFile(config.dataDir)
  const isGiven = vkey.vkey !== undefined || vkey['vkey-file'] !== undefined
  const given = isGiven ? await readVkey(vkey) : undefined
  if (log?.state !== 'ready') return knowledgeOf(given)
  const keys = await openKeys(keysFolderOf(config), log.origin)
  if (given !== undefined && given.name !== log.origin) {
    throw new ConfigError('DENDROLOG_DATA_DIR', `has the keys of ${log.origin}; the verifier key is of ${given.name}`)
  }
  const cell = openCell(cellPlaceOf(config), log.origin)
  try {
    const last = await cell.read()
    const { treeSize, root } = last ?? {}
    const known =
      treeSize === undefined || root === undefined ? [] : [{ treeSize, root, knownBy: "the signer's memory" }]
    return {
      isSealed: (head) => isSealed(keys.sealKey, log.origin, head),
      review: signatureReview(given ?? parseVkey(keys.vkey), parseBase64(keys.sthPublicKey)),
      known,
      notChecked: last === undefined ? ["the signer's memory: there is none"] : [],
    }
  } finally {
    await cell.close()
  }
}

function knowledgeOf(given: VerifierKey | undefined): Knowledge {
  const review = given === undefined ? undefined : signatureReview(given, undefined)
  return {
    isSealed: undefined,
    review,
    known: [],
    notChecked: [
      ...(review === undefined
        ? ['signatures of the checkpoints: no key (--vkey)']
        : ['signatures of the STHs: no key']),
      "seals of the heads, and the signer's memory: they are with the data folder of a server",
    ],
  }
}
