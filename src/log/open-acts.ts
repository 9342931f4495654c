import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import type { Logger } from '../ops/logger.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../ops/signing.ts'
import { type Acts, type ActsOptions, openActs } from './acts.ts'
import type { Log } from './log.ts'
import type { LogKeys } from './log-keys.ts'
import { reportActs } from './report.ts'
import { readServerId } from './server-id.ts'

/** What of a log's acts a server decides. */
export type LogActsOptions = Pick<
  ActsOptions,
  'query' | 'schema' | 'makeId' | 'settings' | 'recordsStarts' | 'sumIntervalMs'
> & { readonly dataDir: string }

/** The acts of a log that is served here, signed with its note key and submitted at its own door. */
export async function openLogActs(
  log: Pick<Log, 'submit' | 'health'>,
  { signing, vkey }: LogKeys,
  logger: Logger,
  { dataDir, ...options }: LogActsOptions,
): Promise<Acts> {
  return openActs({
    ...options,
    ...{ nowMs: Date.now, hash: nativeSha256, signer: signing.note },
    verifier: textVerifier(parseVkey(vkey), nodeSignatureCheck),
    submit: (submissions) => log.submit(submissions),
    isReady: () => log.health.isReady,
    server: await readServerId(dataDir),
    ...reportActs(logger),
  })
}
