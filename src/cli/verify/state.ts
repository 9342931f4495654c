// What the verifier of a data folder remembers, as a file there.
import { join, resolve } from 'node:path'
import { raisedFinding } from '../../audit/raised-finding.ts'
import { formatState, type KnownFinding, parseState, type VerifierState } from '../../audit/verifier-state.ts'
import type { Config } from '../../config.ts'
import { isAbout } from '../../incident/finding.ts'
import { readSecretFile, writeSecretFile } from '../../store/secret-file.ts'

/** The log whose data folder is at hand: its name, and the key that its verifier's state is sealed with. */
export type OwnLog = { readonly origin: string; readonly sealKey: Uint8Array }

/** Roots of a million million entries, and ten thousand findings. */
const stateBytesMax = 1_073_741_824

/** Undefined before the first round. Throws where it is not what a verifier of this log wrote. */
export async function readState(config: Config, log: OwnLog): Promise<VerifierState | undefined> {
  return parse(config, log, await readSecretFile(statePath(config), stateBytesMax))
}

/** The file, and who else writes to it. */
export type VerifierMemory = {
  readonly read: () => Promise<VerifierState | undefined>
  /** Findings in what somebody else wrote since it was read or written here; undefined where nobody did, or it is gone. */
  readonly readOthers: () => Promise<readonly KnownFinding[] | undefined>
  readonly write: (state: VerifierState) => Promise<void>
}

export function openMemory(config: Config, log: OwnLog): VerifierMemory {
  const path = statePath(config)
  let known: string | undefined
  return {
    read: async () => {
      known = await readSecretFile(path, stateBytesMax)
      return parse(config, log, known)
    },
    readOthers: async () => {
      const text = await readSecretFile(path, stateBytesMax)
      if (text === undefined || text === known) return undefined
      return parse(config, log, text)?.findings
    },
    write: async (state) => {
      const text = formatState(state, log.origin, log.sealKey)
      await writeSecretFile(path, text)
      known = text
    },
  }
}

/** Forgets findings that are settled: what is still there is told again, of the newest million with the next probe. */
export async function forgetSettled(
  config: Config,
  log: OwnLog,
  isSettled: (finding: KnownFinding) => boolean,
): Promise<number> {
  const state = await readState(config, log)
  const findings = state?.findings.filter((finding) => !isSettled(finding))
  if (state === undefined || findings === undefined || findings.length === state.findings.length) return 0
  await writeSecretFile(statePath(config), formatState({ ...state, findings, probes: [] }, log.origin, log.sealKey))
  return state.findings.length - findings.length
}

/** Forgets what a closed incident was about. */
export function forgetIncident(config: Config, log: OwnLog, key: string): Promise<number> {
  return forgetSettled(config, log, (finding) => isAbout(key, raisedFinding(finding, {})))
}

function parse(config: Config, { origin, sealKey }: OwnLog, text: string | undefined): VerifierState | undefined {
  try {
    return text === undefined ? undefined : parseState(text, origin, sealKey)
  } catch (cause) {
    throw new Error(`${resolve(statePath(config))}: ${(cause as Error).message}; move it away to begin anew`, { cause })
  }
}

export function statePath({ dataDir }: Config): string {
  return join(dataDir, 'verifier-state')
}
