// What the verifier of a data folder remembers, as a file there.
import { join, resolve } from 'node:path'
import { raisedFinding } from '../../audit/raised-finding.ts'
import {
  emptyState,
  type FullPass,
  findingsOf,
  formatState,
  type KnownFinding,
  parseState,
  type VerifierState,
} from '../../audit/verifier-state.ts'
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
  /** What somebody else wrote since it was read or written here; undefined where nobody did, or it is gone. */
  readonly readOthers: () => Promise<VerifierState | undefined>
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
      return parse(config, log, text)
    },
    write: async (state) => {
      known = await writeState(config, log, state)
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
  if (state === undefined) return 0
  const open = (findings: readonly KnownFinding[]): KnownFinding[] => findings.filter((each) => !isSettled(each))
  const { full } = state
  const rest = {
    ...{ ...state, findings: open(state.findings), probed: null },
    full: full && { ...full, findings: open(full.findings) },
  }
  const forgotten = findingsOf(state).length - findingsOf(rest).length
  if (forgotten > 0) await writeState(config, log, rest)
  return forgotten
}

/** What a full pass found is not what rounds have told: that is left to them. */
export async function rememberPass(config: Config, log: OwnLog, full: FullPass): Promise<void> {
  await writeState(config, log, { ...((await readState(config, log)) ?? emptyState), full })
}

/** Forgets what a closed incident was about. */
export function forgetIncident(config: Config, log: OwnLog, key: string): Promise<number> {
  return forgetSettled(config, log, (finding) => isAbout(key, raisedFinding(finding, {})))
}

async function writeState(config: Config, { origin, sealKey }: OwnLog, state: VerifierState): Promise<string> {
  const text = formatState(state, origin, sealKey)
  await writeSecretFile(statePath(config), text)
  return text
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
