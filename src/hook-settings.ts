// Settings of what tells the outside world: heartbeat and incident hooks.

import { type HeartbeatStyle, heartbeatStyles } from './ops/heartbeat.ts'
import type { HookSettings, WebhookSecret } from './ops/hooks/open-hooks.ts'
import { parseWebhookSecrets } from './ops/hooks/webhook.ts'
import { ConfigError, hiddenPathUnit, hiddenUnit, readCommand, type Setting, setting } from './setting-values.ts'

/** Where rounds of the verifier are told, and how; undefined: nowhere. */
export type HeartbeatSettings = { readonly url: string; readonly style: HeartbeatStyle } | undefined

const pagerdutyUrl = 'https://events.pagerduty.com/v2/enqueue'

type Name =
  | 'heartbeatUrl'
  | 'heartbeatStyle'
  | 'webhookUrl'
  | 'webhookSecret'
  | 'webhookSecretFile'
  | 'pagerdutyKey'
  | 'pagerdutyUrl'
  | 'incidentCommand'

/** Their rows in the table of settings. */
export const hookSettings: Readonly<Record<Name, Setting>> = {
  heartbeatUrl: setting('DENDROLOG_HEARTBEAT_URL', '', hiddenPathUnit, 'told of each round of the verifier'),
  heartbeatStyle: setting(
    'DENDROLOG_HEARTBEAT_STYLE',
    'healthchecks',
    'name',
    'healthchecks (/start, /fail), cronitor (?state=), or plain: the URL itself, of rounds that succeeded only',
  ),
  webhookUrl: setting('DENDROLOG_WEBHOOK_URL', '', hiddenPathUnit, 'told of incidents (standardwebhooks.com)'),
  webhookSecret: setting(
    'DENDROLOG_WEBHOOK_SECRET',
    '',
    hiddenUnit,
    'whsec_ and base64, signs what the webhook is told; several, separated by spaces, sign each',
  ),
  webhookSecretFile: setting('DENDROLOG_WEBHOOK_SECRET_FILE', '', 'file', 'the same in a file'),
  pagerdutyKey: setting(
    'DENDROLOG_PAGERDUTY_KEY',
    '',
    hiddenUnit,
    'integration key (Events API v2), told of incidents',
  ),
  pagerdutyUrl: setting('DENDROLOG_PAGERDUTY_URL', pagerdutyUrl, 'URL', 'where PagerDuty takes events'),
  incidentCommand: setting(
    'DENDROLOG_INCIDENT_COMMAND',
    '',
    'file or JSON',
    'told of incidents on its standard input, without a shell: a program, or a JSON array of it and its arguments',
  ),
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readHeartbeat(text: (s: Setting) => string): HeartbeatSettings {
  const { heartbeatUrl, heartbeatStyle } = hookSettings
  const style = heartbeatStyles.find((name) => name === text(heartbeatStyle))
  if (style === undefined) {
    throw new ConfigError(
      heartbeatStyle.name,
      `got ${JSON.stringify(text(heartbeatStyle))}, want ${heartbeatStyles.join(', ')}`,
    )
  }
  if (text(heartbeatUrl) === '') return undefined
  return { url: readOutsideUrl(heartbeatUrl, text(heartbeatUrl)), style }
}

/** `text` gives a setting's value. Throws ConfigError. */
export function readHooks(text: (s: Setting) => string): HookSettings {
  const { incidentCommand } = hookSettings
  return {
    webhook: readWebhook(text),
    pagerduty: readPagerduty(text),
    command: readCommand(incidentCommand, text(incidentCommand)),
  }
}

function readWebhook(text: (s: Setting) => string): HookSettings['webhook'] {
  const { webhookUrl, webhookSecret, webhookSecretFile } = hookSettings
  const [secret, file] = [text(webhookSecret), text(webhookSecretFile)]
  if (secret !== '' && parseWebhookSecrets(secret) === undefined) {
    throw new ConfigError(
      webhookSecret.name,
      'want whsec_ and base64 of 24 to 64 bytes; several are separated by spaces',
    )
  }
  if (text(webhookUrl) === '') return undefined
  const url = readOutsideUrl(webhookUrl, text(webhookUrl))
  return { url, secret: oneSecret(secret, file) }
}

function oneSecret(text: string, path: string): WebhookSecret {
  const { webhookUrl, webhookSecret, webhookSecretFile } = hookSettings
  if (text !== '' && path !== '') {
    throw new ConfigError(webhookSecretFile.name, `${webhookSecret.name} is set too: set one of them`)
  }
  if (text !== '') return { kind: 'text', text }
  if (path !== '') return { kind: 'file', path }
  throw new ConfigError(
    webhookSecret.name,
    `is missing: ${webhookUrl.name} is set, and what it is told is signed; or set ${webhookSecretFile.name}`,
  )
}

function readPagerduty(text: (s: Setting) => string): HookSettings['pagerduty'] {
  const { pagerdutyKey, pagerdutyUrl: urlSetting } = hookSettings
  const url = readOutsideUrl(urlSetting, text(urlSetting))
  const routingKey = text(pagerdutyKey)
  if (routingKey === '') return undefined
  if (/^[A-Za-z0-9]{32}$/.test(routingKey)) return { url, routingKey }
  throw new ConfigError(pagerdutyKey.name, 'want the 32 letters and digits of an integration key')
}

/** What is told there must not be read on the way. The value is in no message: its path may be a secret. */
function readOutsideUrl(s: Setting, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new ConfigError(s.name, 'want https://host/path')
  if (url.username !== '' || url.password !== '') throw new ConfigError(s.name, 'want a URL without user and password')
  const isLoopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
  if (url.protocol === 'https:' || isLoopback) return text
  throw new ConfigError(s.name, `want https: ${url.hostname} is not a loopback address`)
}
