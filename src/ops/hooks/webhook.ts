// A webhook after https://www.standardwebhooks.com: whoever has the secret knows that the log sent it, when, and that
// nobody changed it on the way.
import { createHmac } from 'node:crypto'
import { type Alarm, type Hook, urgencyOf } from './hook.ts'
import { postAlarm } from './post-alarm.ts'

export type WebhookOptions = {
  readonly url: URL
  /** One signature each, the first one's first: while receivers go over to a new secret there are two. */
  readonly secrets: readonly Uint8Array[]
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

export function webhook({ url, secrets, nowMs }: WebhookOptions): Hook {
  return {
    name: 'webhook',
    deliver: (alarm, signal) => {
      const body = JSON.stringify(webhookBody(alarm))
      const seconds = Math.floor(nowMs() / 1_000)
      const signatures = secrets.map((secret) => signWebhook(secret, alarm.id, seconds, body))
      const headers = {
        'webhook-id': alarm.id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': signatures.join(' '),
      }
      return postAlarm(url, body, headers, signal)
    },
  }
}

function webhookBody({ news, at, origin, incident }: Alarm): object {
  return { type: `incident.${news}`, timestamp: at, data: { origin, ...urgencyOf(incident), incident } }
}

/** `v1,` and base64 of HMAC-SHA-256 over id, seconds since 1970 and body, joined by dots. */
function signWebhook(secret: Uint8Array, id: string, seconds: number, body: string): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')}`
}

const secretBytesMin = 24
const secretBytesMax = 64

/**
 * Secrets as `whsec_` and base64 of 24 to 64 bytes, separated by white space; undefined where
 * one is none, or none is there.
 */
export function parseWebhookSecrets(text: string): readonly Uint8Array[] | undefined {
  const secrets = text.trim().split(/\s+/).map(parseSecret)
  return secrets.some((secret) => secret === undefined) ? undefined : (secrets as Uint8Array[])
}

function parseSecret(text: string): Uint8Array | undefined {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1] ?? ''
  const secret = Buffer.from(base64, 'base64')
  const isWhole = secret.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '')
  return isWhole && secret.length >= secretBytesMin && secret.length <= secretBytesMax ? secret : undefined
}
