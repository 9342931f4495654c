// Settings of the evidence outside of the database: a log's witnesses, and time stamps of its checkpoints.
import { ConfigError, readInteger, type Setting, setting } from './setting-values.ts'

export type OutsideSettings = {
  /** A tlog-policy file; undefined: no witnesses. */
  readonly witnessPolicy: string | undefined
  /** Whether what the quorum has not cosigned is not published. */
  readonly publishesAfterQuorum: boolean
  readonly witnessTimeoutMs: number
  /** A file of time-stamp authorities; undefined: no time stamps. */
  readonly timeStamps: string | undefined
  readonly stampEntries: number
  readonly stampSeconds: number
  readonly stampSkewMs: number
  /** So long before its certificates end a stamp is stamped again. */
  readonly stampRenewSeconds: number
  /** A file of other logs; undefined: none. */
  readonly anchorLogs: string | undefined
}

type Name =
  | 'witnessPolicy'
  | 'publish'
  | 'witnessTimeoutMs'
  | 'timeStamps'
  | 'stampEntries'
  | 'stampSeconds'
  | 'stampSkewMs'
  | 'stampRenewSeconds'
  | 'anchorLogs'

/** Their rows in the table of settings. */
export const outsideSettings: Readonly<Record<Name, Setting>> = {
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
  timeStamps: setting(
    'DENDROLOG_TIME_STAMPS',
    '',
    'file',
    'authorities that stamp checkpoints (RFC 3161), lines NAME URL ROOTS [POLICY]; empty: none',
  ),
  stampEntries: setting('DENDROLOG_STAMP_ENTRIES', '1000', 'entries', 'so many new ones are stamped at once'),
  stampSeconds: setting('DENDROLOG_STAMP_SECONDS', '60', 's', 'after this time any new entry is stamped'),
  stampSkewMs: setting('DENDROLOG_STAMP_SKEW_MS', '1000', 'ms', "an authority's clock further away is an incident"),
  stampRenewSeconds: setting(
    'DENDROLOG_STAMP_RENEW_SECONDS',
    '2592000',
    's',
    'so long before its certificates end a stamp is stamped again',
  ),
  anchorLogs: setting(
    'DENDROLOG_ANCHOR_LOGS',
    '',
    'file',
    'other transparency logs that checkpoints are put into, lines KIND NAME URL VKEY [TOKEN_FILE]; empty: none',
  ),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readOutsideSettings(text: (s: Setting) => string): OutsideSettings {
  const { witnessPolicy, publish, witnessTimeoutMs, timeStamps } = outsideSettings
  const { stampEntries, stampSeconds, stampSkewMs, stampRenewSeconds, anchorLogs } = outsideSettings
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
    timeStamps: text(timeStamps) || undefined,
    stampEntries: readInteger(stampEntries, text(stampEntries), 1, 1_000_000_000),
    stampSeconds: readInteger(stampSeconds, text(stampSeconds), 1, 31_536_000),
    stampSkewMs: readInteger(stampSkewMs, text(stampSkewMs), 0, 86_400_000),
    stampRenewSeconds: readInteger(stampRenewSeconds, text(stampRenewSeconds), 10, 315_360_000),
    anchorLogs: text(anchorLogs) || undefined,
  }
}
