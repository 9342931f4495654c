import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig, reportConfig } from '../src/config.ts'

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const key = 'a1'.repeat(16)

test('nobody is told of anything unless it is set', () => {
  expect(readConfig({})).toMatchObject({
    heartbeat: undefined,
    hooks: { webhook: undefined, pagerduty: undefined, command: undefined },
  })
})

test('what is set is there', () => {
  const { heartbeat, hooks } = readConfig({
    DENDROLOG_HEARTBEAT_URL: 'https://hc-ping.com/0000',
    DENDROLOG_WEBHOOK_URL: 'http://127.0.0.1:9/hook',
    DENDROLOG_WEBHOOK_SECRET: `${secret} ${secret}`,
    DENDROLOG_PAGERDUTY_KEY: key,
    DENDROLOG_INCIDENT_COMMAND: '["/usr/bin/page", "--now"]',
  })
  expect(heartbeat).toEqual({ url: 'https://hc-ping.com/0000', style: 'healthchecks' })
  expect(hooks).toEqual({
    webhook: { url: 'http://127.0.0.1:9/hook', secret: { kind: 'text', text: `${secret} ${secret}` } },
    pagerduty: { url: 'https://events.pagerduty.com/v2/enqueue', routingKey: key },
    command: ['/usr/bin/page', '--now'],
  })
})

test('a secret may be in a file, a command may be a path with spaces', () => {
  const { hooks } = readConfig({
    DENDROLOG_WEBHOOK_URL: 'https://h/x',
    DENDROLOG_WEBHOOK_SECRET_FILE: '/run/secret',
    DENDROLOG_INCIDENT_COMMAND: '/opt/my pager',
  })
  expect(hooks.webhook?.secret).toEqual({ kind: 'file', path: '/run/secret' })
  expect(hooks.command).toEqual(['/opt/my pager'])
})

describe.each(['DENDROLOG_HEARTBEAT_URL', 'DENDROLOG_WEBHOOK_URL', 'DENDROLOG_PAGERDUTY_URL'])('%s', (name) => {
  const read = (url: string): unknown => readConfig({ [name]: url, DENDROLOG_WEBHOOK_SECRET: secret })

  test.each(['http://localhost:1/x', 'http://127.9.9.9/x', 'http://[::1]/x', 'https://example.com/x'])('%s', (url) => {
    expect(() => read(url)).not.toThrow()
  })

  test.each([
    'http://example.com/secret-path',
    'http://127.evil.example/secret-path',
    'http://localhost.evil.example/secret-path',
    'https://user:secret-path@example.com/',
    'ftp://example.com/secret-path',
    'secret-path',
  ])('%s is refused, and not repeated', (url) => {
    const error = thrownBy(() => read(url))
    expect(error).toBeInstanceOf(ConfigError)
    expect(String(error)).toContain(name)
    expect(String(error)).not.toContain('secret-path')
  })
})

test.each<[string, Readonly<Record<string, string>>]>([
  ['DENDROLOG_WEBHOOK_SECRET', { DENDROLOG_WEBHOOK_URL: 'https://h/x' }],
  ['DENDROLOG_WEBHOOK_SECRET', { DENDROLOG_WEBHOOK_SECRET: 'plain-secret' }],
  [
    'DENDROLOG_WEBHOOK_SECRET_FILE',
    {
      DENDROLOG_WEBHOOK_URL: 'https://h/x',
      DENDROLOG_WEBHOOK_SECRET: secret,
      DENDROLOG_WEBHOOK_SECRET_FILE: '/f',
    },
  ],
  ['DENDROLOG_PAGERDUTY_KEY', { DENDROLOG_PAGERDUTY_KEY: 'plain-secret' }],
  ['DENDROLOG_HEARTBEAT_STYLE', { DENDROLOG_HEARTBEAT_STYLE: 'other' }],
  ['DENDROLOG_INCIDENT_COMMAND', { DENDROLOG_INCIDENT_COMMAND: '["a", 1]' }],
  ['DENDROLOG_INCIDENT_COMMAND', { DENDROLOG_INCIDENT_COMMAND: '[]' }],
  ['DENDROLOG_INCIDENT_COMMAND', { DENDROLOG_INCIDENT_COMMAND: '["a"' }],
])('%s is refused by its name, without a secret: %j', (name, environment) => {
  const error = thrownBy(() => readConfig(environment))
  expect(error).toBeInstanceOf(ConfigError)
  expect(String(error)).toContain(name)
  expect(String(error)).not.toMatch(/plain-secret|whsec_[A-Za-z0-9]{9}/)
})

test('`dendrolog config` shows no secret and no path that may be one', () => {
  const environment = {
    DENDROLOG_HEARTBEAT_URL: 'https://hc-ping.com/secret-1?x=secret-2',
    DENDROLOG_WEBHOOK_URL: 'secret-3',
    DENDROLOG_WEBHOOK_SECRET: 'whsec_secret-4',
    DENDROLOG_PAGERDUTY_KEY: 'secret-5',
  }
  const report = reportConfig(environment)
  expect(JSON.stringify(report)).not.toMatch(/secret-\d/)
  const values = Object.keys(environment).map((name) => report.find((each) => each.name === name)?.value)
  expect(values).toEqual(['https://hc-ping.com/***', '***', '***', '***'])
})

function thrownBy(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
