// Settings of what signs: where it remembers what it signed last, and how its keys are unlocked.
import { ConfigError, hiddenUnit, readCommand, type Setting, setting } from './setting-values.ts'

export type SignerSettings = {
  /** A path, or a URL: postgres://… or s3://bucket/key. */
  readonly signerState: string | undefined
  readonly objectStore: ObjectStore
  /** A program that says the passphrase of the key files; undefined: they are not encrypted. */
  readonly passphraseCommand: readonly [string, ...string[]] | undefined
  /** URIs of keys that are elsewhere, for a log that is made; undefined: made here. */
  readonly noteKey: string | undefined
  readonly sthKey: string | undefined
}

export type ObjectStore = {
  readonly endpoint: string | undefined
  readonly region: string | undefined
  readonly accessKeyId: string | undefined
  readonly secretAccessKey: string | undefined
}

type Name =
  | 'signerState'
  | 's3Endpoint'
  | 's3Region'
  | 's3AccessKeyId'
  | 's3SecretAccessKey'
  | 'passphraseCommand'
  | 'noteKey'
  | 'sthKey'

/** Their rows in the table of settings. */
export const signerSettings: Readonly<Record<Name, Setting>> = {
  signerState: setting(
    'DENDROLOG_SIGNER_STATE',
    '',
    'file or URL',
    'what the signer remembers; empty: a file in the data folder. Several servers: postgres://… of a second database, or s3://bucket/key',
  ),
  s3Endpoint: setting('DENDROLOG_S3_ENDPOINT', '', 'URL', "of an object store that is not AWS's"),
  s3Region: setting('DENDROLOG_S3_REGION', '', 'name', 'of the object store'),
  s3AccessKeyId: setting('DENDROLOG_S3_ACCESS_KEY_ID', '', 'name', "empty: looked for where AWS's programs do"),
  s3SecretAccessKey: setting('DENDROLOG_S3_SECRET_ACCESS_KEY', '', hiddenUnit, 'goes with the access key'),
  passphraseCommand: setting(
    'DENDROLOG_KEY_PASSPHRASE_COMMAND',
    '',
    'file or JSON',
    'says the passphrase of encrypted key files on its standard output, without a shell: a program, or a JSON array of it and its arguments',
  ),
  noteKey: setting(
    'DENDROLOG_NOTE_KEY',
    '',
    'URI',
    'Ed25519 key of a log that is made, where it is not in a file: awskms:// or pkcs11: (RFC 7512)',
  ),
  sthKey: setting(
    'DENDROLOG_STH_KEY',
    '',
    'URI',
    'P-256 key of a log that is made, likewise; a log never has another one',
  ),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readSignerSettings(text: (s: Setting) => string): SignerSettings {
  return {
    signerState: readSignerState(text(signerSettings.signerState)),
    objectStore: readObjectStore(text),
    passphraseCommand: readCommand(signerSettings.passphraseCommand, text(signerSettings.passphraseCommand)),
    noteKey: readKeyUri(signerSettings.noteKey, text(signerSettings.noteKey)),
    sthKey: readKeyUri(signerSettings.sthKey, text(signerSettings.sthKey)),
  }
}

/** A program, or a JSON array of it and its arguments; undefined where there is none. ConfigError names `where`. */
export function readPassphraseCommand(where: string, text: string): readonly [string, ...string[]] | undefined {
  return readCommand({ ...signerSettings.passphraseCommand, name: where }, text)
}

function readSignerState(text: string): string | undefined {
  if (!text.includes('://')) return text || undefined
  if (/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/[!-~]{1,900}$/.test(text)) return text
  if (/^postgres(ql)?:\/\//.test(text)) return text
  throw new ConfigError(
    signerSettings.signerState.name,
    'is neither a file, nor postgres://user:password@host:5432/database, nor s3://bucket/key',
  )
}

function readKeyUri(s: Setting, text: string): string | undefined {
  if (text === '' || /^(awskms:\/\/|pkcs11:)[!-~]+$/.test(text)) return text || undefined
  throw new ConfigError(s.name, 'want awskms://… or pkcs11:…')
}

function readObjectStore(text: (s: Setting) => string): ObjectStore {
  const { s3Endpoint, s3Region, s3AccessKeyId, s3SecretAccessKey } = signerSettings
  const endpoint = text(s3Endpoint) || undefined
  if (endpoint !== undefined && !/^https?:\/\/[^/@]+\/?$/.test(endpoint)) {
    throw new ConfigError(s3Endpoint.name, 'want http://host:port or https://host')
  }
  const accessKeyId = text(s3AccessKeyId) || undefined
  const secretAccessKey = text(s3SecretAccessKey) || undefined
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw new ConfigError(s3AccessKeyId.name, `goes with ${s3SecretAccessKey.name}: set both or none`)
  }
  return { endpoint, region: text(s3Region) || undefined, accessKeyId, secretAccessKey }
}
