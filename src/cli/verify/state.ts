// What the verifier of a data folder remembers, as a file there.
import { join, resolve } from 'node:path'
import { parseState, type VerifierState } from '../../audit/verifier-state.ts'
import type { Config } from '../../config.ts'
import { readSecretFile } from '../../store/secret-file.ts'

/** The log whose data folder is at hand: its name, and the key that its verifier's state is sealed with. */
export type OwnLog = { readonly origin: string; readonly sealKey: Uint8Array }

/** Undefined before the first round. Throws where it is not what a verifier of this log wrote. */
export async function readState(config: Config, { origin, sealKey }: OwnLog): Promise<VerifierState | undefined> {
  const text = await readSecretFile(statePath(config))
  try {
    return text === undefined ? undefined : parseState(text, origin, sealKey)
  } catch (cause) {
    throw new Error(`${resolve(statePath(config))}: ${(cause as Error).message}; move it away to begin anew`, { cause })
  }
}

export function statePath({ dataDir }: Config): string {
  return join(dataDir, 'verifier-state')
}
