// Settings of a log's witnesses.
import { ConfigError, readInteger, type Setting, setting } from './setting-values.ts'

export type WitnessSettings = {
  /** A tlog-policy file; undefined: no witnesses. */
  readonly witnessPolicy: string | undefined
  /** Whether what the quorum has not cosigned is not published. */
  readonly publishesAfterQuorum: boolean
  readonly witnessTimeoutMs: number
}

type Name = 'witnessPolicy' | 'publish' | 'witnessTimeoutMs'

/** Their rows in the table of settings. */
export const witnessSettings: Readonly<Record<Name, Setting>> = {
  witnessPolicy: setting(
    'DENDROLOG_WITNESS_POLICY',
    '',
    'file',
    'witnesses that cosign checkpoints, and their quorum (C2SP tlog-policy); empty: none',
  ),
  publish: setting(
    'DENDROLOG_PUBLISH',
    'at-once',
    'name',
    'when a signed checkpoint is served: at-once, or after-quorum: when the quorum of the witnesses has cosigned it',
  ),
  witnessTimeoutMs: setting('DENDROLOG_WITNESS_TIMEOUT_MS', '5000', 'ms', 'a witness has so long to answer'),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readWitnessSettings(text: (s: Setting) => string): WitnessSettings {
  const { witnessPolicy, publish, witnessTimeoutMs } = witnessSettings
  const when = text(publish)
  if (when !== 'at-once' && when !== 'after-quorum') {
    throw new ConfigError(publish.name, `got ${JSON.stringify(when)}, want at-once or after-quorum`)
  }
  const publishesAfterQuorum = when === 'after-quorum'
  if (publishesAfterQuorum && text(witnessPolicy) === '') {
    throw new ConfigError(publish.name, `is after-quorum, and ${witnessPolicy.name} names no witnesses`)
  }
  return {
    ...{ witnessPolicy: text(witnessPolicy) || undefined, publishesAfterQuorum },
    witnessTimeoutMs: readInteger(witnessTimeoutMs, text(witnessTimeoutMs), 100, 60_000),
  }
}
