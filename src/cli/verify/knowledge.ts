import { parseBase64 } from '../../../tlog/bytes.ts'
import { parseVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import type { SignatureReview } from '../../audit/checkpoint-check.ts'
import type { OutsideSource, OutsideSources } from '../../audit/reconcile.ts'
import type { SealCheck } from '../../audit/seal-check.ts'
import { signatureReview } from '../../audit/signature-review.ts'
import { type Config, ConfigError } from '../../config.ts'
import { endedKeysFolderOf, keysFolderOf, unlockOf } from '../../instance.ts'
import { readLogFile } from '../../log/log-file.ts'
import { openKeys } from '../../log/log-keys.ts'
import { isSealed } from '../../log/seal.ts'
import { readVkey, type VkeyValues } from '../verifier-key.ts'
import { endingSource, knownCheckpointsSource, memoryOf, tileFilesSource } from './outside.ts'
import type { OwnLog } from './state.ts'

/** What this machine knows of the log beside its database. */
export type Knowledge = {
  readonly isSealed: SealCheck
  readonly review: SignatureReview
  /** Who else is asked. */
  readonly outside: OutsideSources
  readonly notChecked: readonly string[]
  /** The log's, as it was given or is in the data folder. */
  readonly key: VerifierKey | undefined
  readonly log: OwnLog | undefined
}

/** Of the data folder of the settings, where it is a log's, and of a verifier key that was given. */
export async function readKnowledge(config: Config, vkey: VkeyValues): Promise<Knowledge> {
  const log = await readLogFile(config.dataDir)
  const isGiven = vkey.vkey !== undefined || vkey['vkey-file'] !== undefined
  const given = isGiven ? await readVkey(vkey) : undefined
  if (log === undefined || log.state === 'creating') return knowledgeOf(config, given)
  const { origin } = log
  const folder = log.state === 'ended' ? endedKeysFolderOf(config) : keysFolderOf(config)
  const keys = await openKeys(folder, origin, unlockOf(config))
  if (given !== undefined && given.name !== origin) {
    throw new ConfigError('DENDROLOG_DATA_DIR', `has the keys of ${origin}; the verifier key is of ${given.name}`)
  }
  const { sealKey } = keys
  const key = given ?? parseVkey(keys.vkey)
  return {
    isSealed: (head) => isSealed(sealKey, origin, head),
    key,
    review: signatureReview(key, parseBase64(keys.sthPublicKey)),
    outside: {
      sources: [
        tileFilesSource(config, origin),
        ...knownCheckpoints(config, key),
        ...(log.state === 'ended' ? [endingSource(log.ending)] : []),
      ],
      // What is left of an ended log's memory is how it ended.
      memory: log.state === 'ended' ? undefined : memoryOf(config, origin),
    },
    notChecked: [],
    log: { origin, sealKey },
  }
}

function knowledgeOf(config: Config, given: VerifierKey | undefined): Knowledge {
  const review = given === undefined ? undefined : signatureReview(given, undefined)
  const isUnread = given === undefined && config.knownCheckpoints !== undefined
  return {
    isSealed: undefined,
    review,
    outside: { sources: given === undefined ? [] : knownCheckpoints(config, given), memory: undefined },
    key: given,
    notChecked: [
      ...(review === undefined
        ? ['signatures of the checkpoints: no key (--vkey)']
        : ['signatures of the STHs: no key']),
      ...(isUnread ? ['known checkpoints: no key (--vkey)'] : []),
      "seals of the heads, and the signer's memory: they are with the data folder of a server",
    ],
    log: undefined,
  }
}

function knownCheckpoints({ knownCheckpoints: path }: Config, key: VerifierKey): OutsideSource[] {
  return path === undefined ? [] : [knownCheckpointsSource(path, key)]
}
