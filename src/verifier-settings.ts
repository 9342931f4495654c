// Settings of the verifier.
import { readBoolean, readInteger, type Setting, setting } from './setting-values.ts'

export type VerifierSettings = {
  /** Whether a server verifies its log all the time, and within how many hours all of it. */
  readonly verifies: boolean
  readonly verifyWithinHours: number
  /** How often its newest million entries are probed for changes. */
  readonly verifyProbeSeconds: number
  /** File or folder of checkpoints that others saw. */
  readonly knownCheckpoints: string | undefined
}

type Name = 'verifies' | 'verifyWithinHours' | 'verifyProbeSeconds' | 'knownCheckpoints'

/** Their rows in the table of settings. */
export const verifierSettings: Readonly<Record<Name, Setting>> = {
  verifies: setting('DENDROLOG_VERIFIER', 'true', 'boolean', 'a process of the server verifies the log all the time'),
  verifyWithinHours: setting(
    'DENDROLOG_VERIFY_WITHIN_HOURS',
    '24',
    'h',
    'within so many hours every entry is hashed again',
  ),
  verifyProbeSeconds: setting(
    'DENDROLOG_VERIFY_PROBE_SECONDS',
    '48',
    's',
    'the newest million entries are probed for changes this often',
  ),
  knownCheckpoints: setting(
    'DENDROLOG_KNOWN_CHECKPOINTS',
    '',
    'path',
    'checkpoints that others saw: a file or a folder',
  ),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readVerifierSettings(text: (s: Setting) => string): VerifierSettings {
  const { verifies, verifyWithinHours, verifyProbeSeconds, knownCheckpoints } = verifierSettings
  return {
    verifies: readBoolean(verifies, text(verifies)),
    verifyWithinHours: readInteger(verifyWithinHours, text(verifyWithinHours), 1, 8_784),
    verifyProbeSeconds: readInteger(verifyProbeSeconds, text(verifyProbeSeconds), 1, 3_600),
    knownCheckpoints: text(knownCheckpoints) || undefined,
  }
}
