import { expect, test } from 'vitest'
import { ConfigError, findUnknownSettings, readConfig, reportConfig } from '../src/config.ts'

test('an empty environment gives the defaults', () => {
  expect(readConfig({})).toMatchObject({
    ...{ databaseUrl: undefined, roleUrls: undefined, dataDir: './data', schema: 'security', rolePrefix: '' },
    ...{
      host: '127.0.0.1',
      port: 8080,
      checkpointIntervalMs: 200,
      resignIntervalMs: 60_000,
      publicEntries: false,
      tileFiles: true,
      publicMetrics: false,
      publicDocs: true,
    },
  })
})

test.each([
  ['PORT', '80a'],
  ['PORT', '65536'],
  ['PORT', '-1'],
  ['PORT', '080'],
  ['PORT', '1e3'],
  ['PORT', ''],
  ['DENDROLOG_CHECKPOINT_INTERVAL_MS', '9'],
  ['DENDROLOG_RECORDS_MAX', '0'],
  ['DENDROLOG_PUBLIC_ENTRIES', 'yes'],
  ['DENDROLOG_PUBLIC_DOCS', 'no'],
  ['DENDROLOG_SIGNER_STATE', 's3://bucket'],
  ['DENDROLOG_SIGNER_STATE', 'mysql://h/d'],
  ['DENDROLOG_S3_ENDPOINT', 'localhost:9000'],
  ['DENDROLOG_S3_ACCESS_KEY_ID', 'without its secret'],
  ['DENDROLOG_SCHEMA', 'a"b'],
  ['DENDROLOG_SCHEMA', ''],
  ['DENDROLOG_SCHEMA', 'pg_log'],
  ['DENDROLOG_SCHEMA', 'public'],
  ['DENDROLOG_SCHEMA', 'information_schema'],
  ['DENDROLOG_SCHEMA', 'security_state'],
  ['DENDROLOG_SCHEMA', 'security_guard'],
  ['DENDROLOG_ALLOW_UNSAFE_DATABASE', 'yes'],
  ['DATABASE_URL', 'host=h user=admin'],
  ['DATABASE_URL', '/run/postgresql log'],
  ['DENDROLOG_ROLE_PREFIX', 'A'],
  ['DENDROLOG_LOG_LEVEL', 'verbose'],
  ['HOST', '0.0.0.0'],
  ['HOST', '::'],
  ['HOST', '127.evil.example'],
])('%s=%j is refused by its name', (name, value) => {
  const read = (): unknown => readConfig({ [name]: value })
  expect(read).toThrow(ConfigError)
  expect(read).toThrow(name)
})

test.each(['localhost', '::1', '127.0.0.1', '127.1.2.3'])('HOST=%s needs no TLS', (HOST) => {
  expect(readConfig({ HOST }).host).toBe(HOST)
})

test('any HOST is allowed behind a proxy that terminates TLS', () => {
  expect(readConfig({ HOST: '0.0.0.0', DENDROLOG_BEHIND_TLS_PROXY: 'true' }).host).toBe('0.0.0.0')
})

const roleUrls = Object.fromEntries(
  ['WRITER', 'READER', 'SIGNER', 'STATE'].map((role) => [`DENDROLOG_${role}_URL`, `postgres://${role}@h/d`]),
)

test('the logins of the roles are all given, or none; what is missing is named', () => {
  expect(readConfig(roleUrls).roleUrls?.signer).toBe('postgres://SIGNER@h/d')
  for (const name of Object.keys(roleUrls)) {
    expect(() => readConfig({ ...roleUrls, [name]: '' })).toThrow(`${name}: is missing`)
  }
})

test('the verifier’s login is optional, and does not stand alone', () => {
  const DENDROLOG_VERIFIER_URL = 'postgres://VERIFIER@h/d'
  expect(readConfig(roleUrls).roleUrls?.verifier).toBeUndefined()
  expect(readConfig({ ...roleUrls, DENDROLOG_VERIFIER_URL }).roleUrls?.verifier).toBe(DENDROLOG_VERIFIER_URL)
  expect(() => readConfig({ DENDROLOG_VERIFIER_URL })).toThrow('DENDROLOG_WRITER_URL: is missing')
})

test('a report has every setting with value, default, unit and source, and no password', () => {
  const report = reportConfig({ DATABASE_URL: 'postgres://admin:hun:ter2@h/d', PORT: '1' })
  expect(report.find(({ name }) => name === 'PORT')).toMatchObject({
    value: '1',
    default: '8080',
    source: 'environment',
  })
  expect(report.find(({ name }) => name === 'HOST')).toMatchObject({ value: '127.0.0.1', source: 'default' })
  expect(report.every(({ unit, purpose }) => unit !== '' && purpose !== '')).toBe(true)
  expect(JSON.stringify(report)).not.toContain('ter2')
})

test.each([
  'postgres://admin:hunter2@h/d',
  'postgres://admin:hunt@er2@h/d',
  'postgres://:hunter2@h/d',
  'postgres://h/d?user=admin&password=hunter2',
  'host=h user=admin password=hunter2',
])('no part of a password in %s is shown', (url) => {
  const text = JSON.stringify(reportConfig({ DATABASE_URL: url }))
  expect(text).not.toContain('hunt')
  expect(text).not.toContain('er2')
})

test('variables that begin like settings and are none are found, each with the nearest setting', () => {
  const environment = { DENDROLOG_DATADIR: 'x', DENDROLOG_PUBLIC_ENTRYS: 'true', DENDROLOG_ORIGIN: 'x', OTHER: 'x' }
  expect(findUnknownSettings(environment)).toEqual([
    { name: 'DENDROLOG_DATADIR', nearest: 'DENDROLOG_DATA_DIR' },
    { name: 'DENDROLOG_PUBLIC_ENTRYS', nearest: 'DENDROLOG_PUBLIC_ENTRIES' },
  ])
  expect(findUnknownSettings({})).toEqual([])
})

test('a name without its prefix is found by what stands behind it, and one that is like no setting has no nearest', () => {
  expect(findUnknownSettings({ DENDROLOG_PORT: '1', DATABSE_URL: 'x', DENDROLOG_COLOUR_SCHEME: 'x' })).toEqual([
    { name: 'DATABSE_URL', nearest: 'DATABASE_URL' },
    { name: 'DENDROLOG_COLOUR_SCHEME', nearest: undefined },
    { name: 'DENDROLOG_PORT', nearest: 'PORT' },
  ])
})

test('the secret key of an object store is not shown, nor the password of the signer state', () => {
  const shown = JSON.stringify(
    reportConfig({
      DENDROLOG_SIGNER_STATE: 'postgres://cell:hunter2@h/d',
      DENDROLOG_S3_ACCESS_KEY_ID: 'key',
      DENDROLOG_S3_SECRET_ACCESS_KEY: 'hunter2',
    }),
  )
  expect(shown).not.toContain('hunter2')
  expect(shown).toContain('postgres://cell:***@h/d')
})
