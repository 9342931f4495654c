import { readGivenFile } from '../given-file.ts'
import type { Command } from '../outside-command.ts'
import { commandHook } from './command.ts'
import type { Hook } from './hook.ts'
import { pagerduty } from './pagerduty.ts'
import { parseWebhookSecrets, webhook } from './webhook.ts'

/** Which hooks there are to be; undefined: not that one. */
export type HookSettings = {
  readonly webhook: { readonly url: string; readonly secret: WebhookSecret } | undefined
  readonly pagerduty: { readonly url: string; readonly routingKey: string } | undefined
  readonly command: Command | undefined
}

/** `whsec_` texts, several separated by white space: of a setting, or of a file. */
export type WebhookSecret =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }

const secretFileBytesMax = 4_096

/** The hooks of the settings. Throws where the file of the secret cannot be read, or has none. `nowMs` since 1970. */
export async function openHooks(settings: HookSettings, nowMs: () => number): Promise<readonly Hook[]> {
  const hooks: Hook[] = []
  if (settings.webhook !== undefined) {
    const { url, secret } = settings.webhook
    hooks.push(webhook({ url: new URL(url), secrets: await readSecrets(secret), nowMs }))
  }
  if (settings.pagerduty !== undefined) {
    const { url, routingKey } = settings.pagerduty
    hooks.push(pagerduty({ url: new URL(url), routingKey }))
  }
  if (settings.command !== undefined) hooks.push(commandHook(settings.command))
  return hooks
}

async function readSecrets(secret: WebhookSecret): Promise<readonly Uint8Array[]> {
  const text = secret.kind === 'text' ? secret.text : String(await readGivenFile(secret.path, secretFileBytesMax))
  const secrets = parseWebhookSecrets(text)
  if (secrets !== undefined) return secrets
  throw new Error(
    `${secret.kind === 'file' ? secret.path : 'webhook secret'}: want whsec_ and base64 of 24 to 64 bytes`,
  )
}
