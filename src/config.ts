// The only reader of the environment. Every setting stands in the table once, with its unit and default; `dendrolog
// config` prints it from there.

import { type ContainmentSettings, containmentSettings, readContainment } from './containment-settings.ts'
import { type HeartbeatSettings, hookSettings, readHeartbeat, readHooks } from './hook-settings.ts'
import type { HookSettings } from './ops/hooks/open-hooks.ts'
import { type OutsideSettings, outsideSettings, readOutsideSettings } from './outside-settings.ts'
import {
  ConfigError,
  readBoolean,
  readInteger,
  readLevel,
  readName,
  readUrl,
  type Setting,
  setting,
  showSetting,
} from './setting-values.ts'
import { readSignerSettings, type SignerSettings, signerSettings } from './signer-settings.ts'
import { type UnknownSetting, unknownAmong } from './unknown-settings.ts'
import { readVerifierSettings, type VerifierSettings, verifierSettings } from './verifier-settings.ts'

export { ConfigError } from './setting-values.ts'

export type Config = VerifierSettings &
  OutsideSettings &
  SignerSettings & {
    readonly databaseUrl: string | undefined
    readonly roleUrls: RoleUrls
    readonly dataDir: string
    readonly pgBin: string | undefined
    readonly schema: string
    readonly rolePrefix: string
    readonly allowUnsafeDatabase: boolean
    readonly host: string
    readonly port: number
    /** Files of certificates and key; undefined: plain HTTP. */
    readonly tls: { readonly cert: string; readonly key: string } | undefined
    readonly origin: string | undefined
    readonly checkpointIntervalMs: number
    readonly resignIntervalMs: number
    readonly poolEntriesMax: number
    readonly poolBytesMax: number
    readonly batchEntriesMax: number
    readonly batchBytesMax: number
    readonly bodyBytesMax: number
    readonly recordsMax: number
    readonly publicEntries: boolean
    readonly tileFiles: boolean
    readonly publicMetrics: boolean
    readonly publicDocs: boolean
    readonly requestsPerSecond: number
    readonly entriesPerSecond: number
    readonly actSumIntervalMs: number
    readonly recordStarts: boolean
    readonly trustProxy: boolean
    readonly logLevel: string
    /** A file; undefined: no watch rules. */
    readonly watchRules: string | undefined
    readonly heartbeat: HeartbeatSettings
    readonly hooks: HookSettings
    readonly containment: ContainmentSettings
  }

/** Connections of the roles; all of them or none, but for the verifier's. */
export type RoleUrls =
  | {
      readonly writer: string
      readonly reader: string
      readonly signer: string
      readonly verifier: string | undefined
      readonly state: string
    }
  | undefined

/** How the store of an s3:// URL is reached; what is missing is looked for where AWS's programs do. */
export type Source = 'default' | 'environment'

/** A setting as `dendrolog config` shows it. `value` hides the password of a URL. */
export type SettingReport = {
  readonly name: string
  readonly value: string
  readonly default: string
  readonly unit: string
  readonly source: Source
  readonly purpose: string
}

const settings = {
  databaseUrl: setting('DATABASE_URL', '', 'URL', "an administrator's; empty: an own PostgreSQL in the data folder"),
  writerUrl: setting(
    'DENDROLOG_WRITER_URL',
    '',
    'URL',
    'login of app_writer_role, where `migrate` is a job of its own',
  ),
  readerUrl: setting('DENDROLOG_READER_URL', '', 'URL', 'login of auditor_reader_role'),
  signerUrl: setting('DENDROLOG_SIGNER_URL', '', 'URL', 'login of checkpoint_signer_role'),
  verifierUrl: setting(
    'DENDROLOG_VERIFIER_URL',
    '',
    'URL',
    'login of verifier_role; empty: that of auditor_reader_role',
  ),
  stateUrl: setting('DENDROLOG_STATE_URL', '', 'URL', 'login of app_state_role'),
  dataDir: setting('DENDROLOG_DATA_DIR', './data', 'folder', 'keys, signer state, and the embedded PostgreSQL'),
  pgBin: setting('DENDROLOG_PG_BIN', '', 'folder', 'PostgreSQL binaries to use instead of those from npm'),
  schema: setting('DENDROLOG_SCHEMA', 'security', 'name', 'schema of the log'),
  rolePrefix: setting('DENDROLOG_ROLE_PREFIX', '', 'name', 'stands before the names of the roles'),
  allowUnsafeDatabase: setting(
    'DENDROLOG_ALLOW_UNSAFE_DATABASE',
    'false',
    'boolean',
    'fsync, full_page_writes or synchronous_commit of the database may be off',
  ),
  host: setting('HOST', '127.0.0.1', 'address', 'where to listen'),
  port: setting('PORT', '8080', 'port', 'where to listen; 0 picks a free one'),
  tlsCert: setting('DENDROLOG_TLS_CERT', '', 'file', 'PEM certificates, the own one first; empty: plain HTTP'),
  tlsKey: setting('DENDROLOG_TLS_KEY', '', 'file', 'PEM private key of the certificate, readable by its owner only'),
  origin: setting('DENDROLOG_ORIGIN', '', 'name', 'name of a new log; empty: localhost/<random>'),
  checkpointIntervalMs: setting('DENDROLOG_CHECKPOINT_INTERVAL_MS', '200', 'ms', 'a new head is signed this often'),
  resignIntervalMs: setting('DENDROLOG_RESIGN_INTERVAL_MS', '60000', 'ms', 'an idle log signs its head again'),
  poolEntriesMax: setting('DENDROLOG_POOL_ENTRIES_MAX', '65536', 'entries', 'more pending ones are 503'),
  poolBytesMax: setting('DENDROLOG_POOL_BYTES_MAX', '67108864', 'bytes', 'more pending ones are 503'),
  batchEntriesMax: setting('DENDROLOG_BATCH_ENTRIES_MAX', '8192', 'entries', 'of one commit'),
  batchBytesMax: setting('DENDROLOG_BATCH_BYTES_MAX', '16777216', 'bytes', 'of one commit'),
  bodyBytesMax: setting('DENDROLOG_BODY_BYTES_MAX', '16777216', 'bytes', 'of a request, uncompressed; more is 413'),
  recordsMax: setting('DENDROLOG_RECORDS_MAX', '65536', 'records', 'of a request; more is 413'),
  requestsPerSecond: setting(
    'DENDROLOG_RATE_LIMIT_REQUESTS',
    '0',
    'requests/s',
    'of a token that has no limit of its own; more is 429; 0: no limit',
  ),
  entriesPerSecond: setting('DENDROLOG_RATE_LIMIT_ENTRIES', '0', 'entries/s', 'the same, of entries it submits'),
  tileFiles: setting('DENDROLOG_TILE_FILES', 'true', 'boolean', 'full tiles are copied into files, to be read faster'),
  publicMetrics: setting('DENDROLOG_PUBLIC_METRICS', 'false', 'boolean', '/metrics is open to everybody'),
  publicDocs: setting('DENDROLOG_PUBLIC_DOCS', 'true', 'boolean', '/openapi.json and /docs are open to everybody'),
  publicEntries: setting('DENDROLOG_PUBLIC_ENTRIES', 'false', 'boolean', 'entries are open to everybody'),
  actSumIntervalMs: setting(
    'DENDROLOG_ACT_SUM_INTERVAL_MS',
    '60000',
    'ms',
    'reads of entries and quarantining become entries of the log, summed; 0: they do not',
  ),
  recordStarts: setting('DENDROLOG_RECORD_STARTS', 'false', 'boolean', 'starts and stops become entries of the log'),
  trustProxy: setting(
    'DENDROLOG_BEHIND_TLS_PROXY',
    'false',
    'boolean',
    'a proxy terminates TLS: every HOST is allowed',
  ),
  ...verifierSettings,
  ...outsideSettings,
  ...signerSettings,
  watchRules: setting('DENDROLOG_WATCH_RULES', '', 'file', 'rules by which new entries are watched; empty: none'),
  logLevel: setting('DENDROLOG_LOG_LEVEL', 'info', 'level', 'debug, info, warn, error or silent'),
  ...hookSettings,
  ...containmentSettings,
} as const satisfies Record<string, Setting>

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads every setting; throws ConfigError on the first that cannot be used. */
export function readConfig(environment: Environment = process.env): Config {
  const text = (s: Setting): string => environment[s.name] ?? s.default
  const optional = (s: Setting): string | undefined => text(s) || undefined
  const config: Config = {
    databaseUrl: optional(settings.databaseUrl) && readUrl(settings.databaseUrl, text(settings.databaseUrl)),
    roleUrls: readRoleUrls(text),
    dataDir: text(settings.dataDir),
    pgBin: optional(settings.pgBin),
    schema: readSchema(text(settings.schema)),
    rolePrefix: readName(settings.rolePrefix, text(settings.rolePrefix), /^([a-z_][a-z0-9_]{0,30})?$/),
    allowUnsafeDatabase: readBoolean(settings.allowUnsafeDatabase, text(settings.allowUnsafeDatabase)),
    host: text(settings.host),
    port: readInteger(settings.port, text(settings.port), 0, 65_535),
    tls: readTlsFiles(text),
    origin: optional(settings.origin) && readName(settings.origin, text(settings.origin), /^[^+\s\p{Cc}]{1,255}$/u),
    checkpointIntervalMs: readInteger(settings.checkpointIntervalMs, text(settings.checkpointIntervalMs), 10, 60_000),
    resignIntervalMs: readInteger(settings.resignIntervalMs, text(settings.resignIntervalMs), 100, 86_400_000),
    poolEntriesMax: readInteger(settings.poolEntriesMax, text(settings.poolEntriesMax), 1, 10_000_000),
    poolBytesMax: readInteger(settings.poolBytesMax, text(settings.poolBytesMax), 1_048_576, 4_294_967_296),
    batchEntriesMax: readInteger(settings.batchEntriesMax, text(settings.batchEntriesMax), 1, 65_536),
    batchBytesMax: readInteger(settings.batchBytesMax, text(settings.batchBytesMax), 65_536, 268_435_456),
    bodyBytesMax: readInteger(settings.bodyBytesMax, text(settings.bodyBytesMax), 1_024, 268_435_456),
    recordsMax: readInteger(settings.recordsMax, text(settings.recordsMax), 1, 65_536),
    requestsPerSecond: readInteger(settings.requestsPerSecond, text(settings.requestsPerSecond), 0, 1_000_000),
    entriesPerSecond: readInteger(settings.entriesPerSecond, text(settings.entriesPerSecond), 0, 10_000_000),
    tileFiles: readBoolean(settings.tileFiles, text(settings.tileFiles)),
    publicMetrics: readBoolean(settings.publicMetrics, text(settings.publicMetrics)),
    publicDocs: readBoolean(settings.publicDocs, text(settings.publicDocs)),
    publicEntries: readBoolean(settings.publicEntries, text(settings.publicEntries)),
    actSumIntervalMs: readInteger(settings.actSumIntervalMs, text(settings.actSumIntervalMs), 0, 86_400_000),
    recordStarts: readBoolean(settings.recordStarts, text(settings.recordStarts)),
    trustProxy: readBoolean(settings.trustProxy, text(settings.trustProxy)),
    ...readVerifierSettings(text),
    ...readOutsideSettings(text),
    ...readSignerSettings(text),
    logLevel: readLevel(settings.logLevel, text(settings.logLevel)),
    watchRules: optional(settings.watchRules),
    heartbeat: readHeartbeat(text),
    hooks: readHooks(text),
    containment: readContainment(text),
  }
  checkListenAddress(config)
  return config
}

/**
 * What a verifier needs, which may run where no server does: with the login of the auditors' role and none of the others.
 * Where that is not given, it is one of the settings of a server.
 */
export function readAuditorConfig(environment: Environment = process.env): {
  readonly config: Config
  readonly readerUrl: string | undefined
} {
  const { writerUrl, readerUrl, signerUrl, verifierUrl, stateUrl } = settings
  const url = environment[readerUrl.name] || undefined
  const none = Object.fromEntries([writerUrl, readerUrl, signerUrl, verifierUrl, stateUrl].map((s) => [s.name, '']))
  const config = readConfig(url === undefined ? environment : { ...environment, ...none })
  return { config, readerUrl: url && readUrl(readerUrl, url) }
}

/** Where a program that needs nothing else of the settings tells what it finds. */
export function readHookConfig(environment: Environment = process.env): Pick<Config, 'heartbeat' | 'hooks'> {
  const text = (s: Setting): string => environment[s.name] ?? s.default
  return { heartbeat: readHeartbeat(text), hooks: readHooks(text) }
}

/** One setting as it is written, unchecked: for what must work where another setting is bad. */
export function readSetting(
  name:
    | 'DENDROLOG_DATA_DIR'
    | 'DENDROLOG_KEY_PASSPHRASE_COMMAND'
    | 'DENDROLOG_LOG_LEVEL'
    | 'DENDROLOG_TLS_CERT'
    | 'HOST'
    | 'PORT',
  environment: Environment = process.env,
): string {
  const fallback = {
    DENDROLOG_DATA_DIR: settings.dataDir,
    DENDROLOG_KEY_PASSPHRASE_COMMAND: settings.passphraseCommand,
    DENDROLOG_LOG_LEVEL: settings.logLevel,
    DENDROLOG_TLS_CERT: settings.tlsCert,
    HOST: settings.host,
    PORT: settings.port,
  }[name].default
  return environment[name] ?? fallback
}

/** Every setting with its value and where that came from; secrets and passwords of URLs are not shown. */
export function reportConfig(environment: Environment = process.env): readonly SettingReport[] {
  return Object.values(settings).map((s) => {
    const given = environment[s.name]
    return { ...s, value: showSetting(s, given ?? s.default), source: given === undefined ? 'default' : 'environment' }
  })
}

/** What is set and read by nobody. */
export function findUnknownSettings(environment: Environment = process.env): readonly UnknownSetting[] {
  return unknownAmong(
    Object.keys(environment),
    Object.values(settings).map(({ name }) => name),
  )
}

function readRoleUrls(text: (s: Setting) => string): RoleUrls {
  const { writerUrl, readerUrl, signerUrl, verifierUrl, stateUrl } = settings
  const given = [writerUrl, readerUrl, signerUrl, verifierUrl, stateUrl].filter((s) => text(s) !== '')
  if (given.length === 0) return undefined
  const need = (s: Setting): string => {
    if (text(s) !== '') return readUrl(s, text(s))
    throw new ConfigError(s.name, `is missing: where ${given[0]?.name} is set, the logins of the other roles are too`)
  }
  return {
    ...{ writer: need(writerUrl), reader: need(readerUrl), signer: need(signerUrl), state: need(stateUrl) },
    verifier: text(verifierUrl) === '' ? undefined : need(verifierUrl),
  }
}

function readTlsFiles(text: (s: Setting) => string): Config['tls'] {
  const { tlsCert, tlsKey } = settings
  const [cert, key] = [text(tlsCert), text(tlsKey)]
  if (cert === '' && key === '') return undefined
  if (cert === '') throw new ConfigError(tlsCert.name, `is missing: ${tlsKey.name} is set, and a key needs it`)
  if (key === '') throw new ConfigError(tlsKey.name, `is missing: ${tlsCert.name} is set, and a certificate needs it`)
  return { cert, key }
}

/** Schemas of PostgreSQL's own, and names that another log's schemas for state and guard may have. */
const reservedSchemas = /^(pg_.*|public|information_schema|.*_state|.*_guard)$/

function readSchema(text: string): string {
  const name = readName(settings.schema, text, /^[a-z_][a-z0-9_]{0,30}$/)
  if (!reservedSchemas.test(name)) return name
  throw new ConfigError(
    settings.schema.name,
    `${name} is reserved: pg_*, public and information_schema are PostgreSQL's, *_state and *_guard go with a log's schema`,
  )
}

function checkListenAddress({ host, tls, trustProxy }: Config): void {
  const isLoopback = host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
  if (isLoopback || trustProxy || tls !== undefined) return
  throw new ConfigError(
    'HOST',
    `${host} is not a loopback address, and without a certificate this server speaks plain HTTP: tokens would travel ` +
      'readable. Set DENDROLOG_TLS_CERT and DENDROLOG_TLS_KEY, or put a proxy that terminates TLS before it and set ' +
      'DENDROLOG_BEHIND_TLS_PROXY=true',
  )
}
