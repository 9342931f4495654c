import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Hook, HookFailure } from '../../../src/ops/hooks/hook.ts'
import { pagerduty } from '../../../src/ops/hooks/pagerduty.ts'
import { sendNow } from '../../../src/ops/hooks/send-now.ts'
import { parseWebhookSecrets, webhook } from '../../../src/ops/hooks/webhook.ts'
import { openReceiver, type Received, type Receiver } from '../../support/receiver.ts'
import { closed, never, opened } from './alarms.ts'

let receiver: Receiver
beforeEach(async () => {
  receiver = await openReceiver('/hook/secret-path')
})
afterEach(() => receiver.close())

const routingKey = 'R'.repeat(32)
const oldSecret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`
const newSecret = `whsec_${Buffer.alloc(32, 0xfb).toString('base64')}`
const nowMs = (): number => 1_767_225_600_999

function openWebhook(secrets = newSecret): Hook {
  return webhook({ url: new URL(receiver.url), secrets: parseWebhookSecrets(secrets) ?? [], nowMs })
}

function openPagerduty(): Hook {
  return pagerduty({ url: new URL(receiver.url), routingKey })
}

/** As a receiver does it that knows one secret, after the text of the specification. */
function isSigned({ headers, body }: Received, secret: string): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`, 'utf8')
  const wanted = createHmac('sha256', key).update(signed).digest()
  return String(headers['webhook-signature'])
    .split(' ')
    .map((signature) => signature.split(','))
    .some(([version, base64 = '']) => version === 'v1' && Buffer.from(base64, 'base64').equals(wanted))
}

describe.each([
  ['webhook', () => openWebhook()],
  ['pagerduty', () => openPagerduty()],
])('%s', (name, open) => {
  async function failureOf(hook = open()): Promise<HookFailure> {
    const error: unknown = await hook.deliver(opened, never).catch((e: unknown) => e)
    if (error instanceof HookFailure) return error
    throw new Error(`want a failure, got ${error}`)
  }

  test('has its name, and 200, 202 and 204 are a delivery', async () => {
    expect(open().name).toBe(name)
    receiver.meet(200, 202, 204)
    for (let i = 0; i < 3; i++) await open().deliver(opened, never)
    expect(receiver.received.map(({ method, path }) => [method, path])).toEqual(
      Array(3).fill(['POST', '/hook/secret-path']),
    )
    expect(receiver.received[0]?.headers['content-type']).toBe('application/json')
  })

  test('any other status is a failure that may pass; 410 is final', async () => {
    receiver.meet(500, 404, 429, 410)
    expect((await failureOf()).message).toContain('status 500')
    expect([(await failureOf()).isFinal, (await failureOf()).isFinal, (await failureOf()).isFinal]).toEqual([
      false,
      false,
      true,
    ])
  })

  test('a connection that is reset, before or after the receiver acted, is a failure without URL', async () => {
    receiver.meet('reset-at-once', 'reset-after-acting')
    const failures = [await failureOf(), await failureOf()]
    expect(receiver.received).toHaveLength(1)
    for (const { message } of failures) expect(message).toMatch(/^no answer: [A-Z_]+$/)
  })

  test('what hangs ends with the signal', async () => {
    receiver.meet('hang')
    const stop = new AbortController()
    const delivering = open().deliver(opened, stop.signal)
    setTimeout(() => stop.abort(), 50)
    await expect(delivering).rejects.toThrow('was stopped')
  })

  test('a redirect is not followed', async () => {
    const other = await openReceiver()
    receiver.meet({ location: other.url })
    expect((await failureOf()).message).toContain('status 307')
    await other.close()
    expect(other.received).toEqual([])
  })

  test('told at once and without a queue, it is tried again a few times', async () => {
    receiver.meet(500, 'reset-after-acting')
    expect(await sendNow([open()], opened, never, [1, 1])).toEqual([{ hook: name, error: undefined }])
    receiver.meet(500, 501, 502)
    const [sent] = await sendNow([open()], opened, never, [1, 1])
    expect(sent?.error).toContain('status 502')
  })
})

test('a webhook is signed as receivers check it, and each attempt has the same id', async () => {
  await openWebhook().deliver(opened, never)
  await openWebhook().deliver(opened, never)
  const [first, second] = receiver.received
  expect(first && isSigned(first, newSecret)).toBe(true)
  expect(first && isSigned({ ...first, body: `${first.body} ` }, newSecret)).toBe(false)
  expect(first && isSigned(first, oldSecret)).toBe(false)
  expect(first?.headers).toMatchObject({ 'webhook-id': opened.id, 'webhook-timestamp': '1767225600' })
  expect(second?.headers['webhook-id']).toBe(opened.id)
  expect(JSON.parse(first?.body ?? '')).toEqual({
    ...{ type: 'incident.opened', timestamp: opened.at },
    data: { origin: 'test.example/log', severity: 'critical', priority: 1, incident: opened.incident },
  })
  await openWebhook().deliver(closed, never)
  expect(JSON.parse(receiver.received[2]?.body ?? '')).toMatchObject({
    type: 'incident.closed',
    data: { incident: { closedBy: 'local:root', closeReason: 'restored' } },
  })
})

test('while secrets change, a receiver of either secret can check the signature', async () => {
  await openWebhook(`${newSecret} ${oldSecret}`).deliver(opened, never)
  const [got] = receiver.received
  expect([newSecret, oldSecret].map((secret) => got && isSigned(got, secret))).toEqual([true, true])
})

test.each(['', 'whsec_', newSecret.slice(6), 'whsec_AAAA', `${newSecret} x`, `${newSecret.slice(0, -2)}*=`])(
  '%j is no list of secrets',
  (text) => {
    expect(parseWebhookSecrets(text)).toBeUndefined()
  },
)

test('a receiver that asks to be left alone says for how long', async () => {
  receiver.meet({ retryAfter: '120' })
  await expect(openWebhook().deliver(opened, never)).rejects.toMatchObject({ retryAfterMs: 120_000, isFinal: false })
})

test('pagerduty: an incident triggers an alert and its closing resolves the same one', async () => {
  await openPagerduty().deliver(opened, never)
  await openPagerduty().deliver(closed, never)
  const [trigger, resolve] = receiver.received.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
  const key = `dendrolog:${opened.incident.id}`
  expect(trigger).toMatchObject({
    ...{ routing_key: routingKey, event_action: 'trigger', dedup_key: key, client: 'Dendrolog' },
    payload: {
      summary: `PAYLOAD_CORRUPT at sequence number 7: ${opened.incident.detail}`,
      ...{ source: 'test.example/log', severity: 'critical', timestamp: opened.at, class: 'PAYLOAD_CORRUPT' },
      custom_details: { priority: 1, sequenceNumber: 7, evidence: { stored: 'aa', computed: 'bb' } },
    },
  })
  expect(resolve).toEqual({ routing_key: routingKey, event_action: 'resolve', dedup_key: key })
})

test('pagerduty: a summary has 1,024 characters at most, and a refusal says why, without the key', async () => {
  const long = { ...opened, incident: { ...opened.incident, detail: '🌲'.repeat(2_000) } }
  receiver.meet({ text: `{"errors":["Length of 'routing_key' ${routingKey} is incorrect"]}` })
  const error: unknown = await openPagerduty()
    .deliver(long, never)
    .catch((e: unknown) => e)
  const { payload } = JSON.parse(receiver.received[0]?.body ?? '') as { payload: { summary: string } }
  expect([[...payload.summary].length, payload.summary.isWellFormed()]).toEqual([1_024, true])
  expect(String(error)).toContain('status 400: {"errors":["Length')
  expect(String(error)).not.toContain(routingKey)
})
