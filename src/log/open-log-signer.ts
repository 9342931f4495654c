import type { Pool } from '../store/session.ts'
import type { LogOptions } from './log-options.ts'
import { type LogSigner, openSignerHere } from './signing-thread.ts'

/** As the log was told, or in this thread where nothing was said; `pool` is of the signer's login. */
export function openLogSigner(
  { origin, keys, cell, schema, hash, openSigner }: LogOptions,
  { query }: Pick<Pool, 'query'>,
): Promise<LogSigner> {
  if (openSigner !== undefined) return openSigner()
  return openSignerHere({ origin, sealKey: keys.sealKey, keys: keys.signing, cell, query, schema, hash })
}
