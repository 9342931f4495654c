import { parseBase64 } from '../../../tlog/bytes.ts'
import { parseVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import type { SignatureReview } from '../../audit/checkpoint-check.ts'
import type { SealCheck } from '../../audit/head-check.ts'
import type { KnownHead } from '../../audit/outside-check.ts'
import { signatureReview } from '../../audit/signature-review.ts'
import { type Config, ConfigError } from '../../config.ts'
import { keysFolderOf } from '../../instance.ts'
import { openCell } from '../../log/cell-place.ts'
import { readLogFile } from '../../log/log-file.ts'
import { openKeys } from '../../log/log-keys.ts'
import { isSealed } from '../../log/seal.ts'
import { cellPlaceOf } from '../../signer-state.ts'
import { readVkey, type VkeyValues } from '../verifier-key.ts'

/** What this machine knows of the log beside its database. */
export type Knowledge = {
  readonly isSealed: SealCheck
  readonly review: SignatureReview
  /** Asked anew each time. */
  readonly readKnown: () => Promise<readonly KnownHead[]>
  readonly notChecked: readonly string[]
  /** The log's, as it was given or is in the data folder. */
  readonly key: VerifierKey | undefined
  /** Of the log whose data folder this is: its name, and the key that its state is sealed with. */
  readonly log: { readonly origin: string; readonly sealKey: Uint8Array } | undefined
}

/** Of the data folder of the settings, where it is a log's, and of a verifier key that was given. */
export async function readKnowledge(config: Config, vkey: VkeyValues): Promise<Knowledge> {
  const log = await readLogFile(config.dataDir)
  const isGiven = vkey.vkey !== undefined || vkey['vkey-file'] !== undefined
  const given = isGiven ? await readVkey(vkey) : undefined
  if (log?.state !== 'ready') return knowledgeOf(given)
  const keys = await openKeys(keysFolderOf(config), log.origin)
  if (given !== undefined && given.name !== log.origin) {
    throw new ConfigError('DENDROLOG_DATA_DIR', `has the keys of ${log.origin}; the verifier key is of ${given.name}`)
  }
  const { sealKey } = keys
  const key = given ?? parseVkey(keys.vkey)
  const hasMemory = (await readMemory(config, log.origin)).length > 0
  return {
    isSealed: (head) => isSealed(sealKey, log.origin, head),
    key,
    review: signatureReview(key, parseBase64(keys.sthPublicKey)),
    readKnown: () => readMemory(config, log.origin),
    notChecked: hasMemory ? [] : ["the signer's memory: there is none"],
    log: { origin: log.origin, sealKey },
  }
}

/** What the signer remembers; nothing where there is no memory. */
async function readMemory(config: Config, origin: string): Promise<readonly KnownHead[]> {
  const cell = openCell(cellPlaceOf(config), origin)
  try {
    const last = await cell.read()
    return last === undefined ? [] : [{ treeSize: last.treeSize, root: last.root, knownBy: "the signer's memory" }]
  } finally {
    await cell.close()
  }
}

function knowledgeOf(given: VerifierKey | undefined): Knowledge {
  const review = given === undefined ? undefined : signatureReview(given, undefined)
  return {
    isSealed: undefined,
    review,
    key: given,
    readKnown: async () => [],
    notChecked: [
      ...(review === undefined
        ? ['signatures of the checkpoints: no key (--vkey)']
        : ['signatures of the STHs: no key']),
      "seals of the heads, and the signer's memory: they are with the data folder of a server",
    ],
    log: undefined,
  }
}
