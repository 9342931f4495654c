import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BeatKind, Heartbeat, type HeartbeatStyle, type HeartbeatTiming } from '../../src/ops/heartbeat.ts'
import { until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'

let service: Receiver
let heartbeat: Heartbeat
let sent: BeatKind[]
let failed: [BeatKind, string][]
beforeEach(async () => {
  service = await openReceiver('/ping/secret-id')
  sent = []
  failed = []
})
afterEach(async () => {
  await heartbeat.close()
  await service.close()
})

function open(style: HeartbeatStyle, timing: Partial<HeartbeatTiming> = {}, url = service.url): void {
  heartbeat = new Heartbeat({
    ...{ url: new URL(url), style },
    onSent: (kind) => sent.push(kind),
    onFailed: (kind, reason) => failed.push([kind, reason]),
    timing: { pausesMs: [1, 1], ...timing },
  })
}

async function settled(count: number): Promise<void> {
  await until(
    () => sent.length + failed.length >= count,
    () => `${count} pings settled; had ${sent.length} and ${failed.length}`,
  )
}

test('healthchecks: start, success and failure with the reason, in this order, with one id a round', async () => {
  open('healthchecks')
  heartbeat.start()
  heartbeat.success('1000 entries')
  heartbeat.start()
  heartbeat.fail('PAYLOAD_CORRUPT at sequence number 7')
  await settled(4)
  const asked = service.received.map(({ method, path, body }) => [method, path.replace(/\?rid=.*/, ''), body])
  expect(asked).toEqual([
    ['POST', '/ping/secret-id/start', ''],
    ['POST', '/ping/secret-id', '1000 entries'],
    ['POST', '/ping/secret-id/start', ''],
    ['POST', '/ping/secret-id/fail', 'PAYLOAD_CORRUPT at sequence number 7'],
  ])
  const rounds = service.received.map(({ path }) => /\?rid=([0-9a-f-]{36})$/.exec(path)?.[1])
  expect(rounds[0]).toBe(rounds[1])
  expect(rounds[2]).toBe(rounds[3])
  expect(new Set(rounds).size).toBe(2)
  expect(sent).toEqual(['start', 'success', 'start', 'fail'])
})

test('a query of the URL stays', async () => {
  open('healthchecks', {}, `${service.url}/?create=1`)
  heartbeat.fail('x')
  await settled(1)
  expect(service.received[0]?.path).toMatch(/^\/ping\/secret-id\/fail\?create=1&rid=/)
})

test('cronitor: the state and the words stand in the query', async () => {
  open('cronitor')
  heartbeat.start()
  heartbeat.success()
  heartbeat.fail('a b&c')
  await settled(3)
  const queries = service.received.map(({ method, path }) => {
    const { pathname, searchParams } = new URL(path, service.url)
    return [method, pathname, searchParams.get('state'), searchParams.get('message')]
  })
  expect(queries).toEqual([
    ['GET', '/ping/secret-id', 'run', null],
    ['GET', '/ping/secret-id', 'complete', null],
    ['GET', '/ping/secret-id', 'fail', 'a b&c'],
  ])
})

test('plain: nothing is heard but success', async () => {
  open('plain')
  heartbeat.start()
  heartbeat.fail('x')
  heartbeat.success('not told')
  await settled(1)
  expect(service.received.map(({ method, path, body }) => [method, path, body])).toEqual([
    ['GET', '/ping/secret-id', ''],
  ])
})

test('a ping that fails is tried again, a few times, and its failure shows nothing of the path', async () => {
  open('healthchecks', { timeoutMs: 400 })
  service.meet('reset-at-once', 500, 200)
  heartbeat.success()
  await settled(1)
  expect(sent).toEqual(['success'])
  for (const reaction of ['reset-after-acting', 'hang', 'reset-at-once', 503] as const) {
    service.meet(reaction, reaction, reaction)
    heartbeat.success()
  }
  await settled(5)
  expect(failed).toEqual([
    ['success', expect.stringContaining('no answer: ')],
    ['success', 'no answer within 400 ms'],
    ['success', expect.stringContaining('no answer: ')],
    ['success', 'status 503'],
  ])
  expect(JSON.stringify(failed)).not.toContain('secret')
})

test('no redirect is followed: a path that is a secret goes nowhere else', async () => {
  const other = await openReceiver()
  open('healthchecks', { pausesMs: [] })
  service.meet({ location: other.url })
  heartbeat.success()
  await settled(1)
  await other.close()
  expect([other.received, failed]).toEqual([[], [['success', 'status 307']]])
})

test('while the service hangs nobody waits, and the newest pings are kept', async () => {
  open('healthchecks', { timeoutMs: 300, pausesMs: [] })
  service.meet('hang')
  const startedAt = performance.now()
  for (let i = 0; i < 50; i++) heartbeat.success(String(i))
  expect(performance.now() - startedAt).toBeLessThan(1_000)
  await settled(5)
  expect(service.received.map(({ body }) => body)).toEqual(['0', '46', '47', '48', '49'])
})

test('closing waits for what is under way, and not for a service that hangs', async () => {
  open('healthchecks', { timeoutMs: 60_000, lastMs: 50 })
  heartbeat.success('arrives')
  await heartbeat.close()
  expect(sent).toEqual(['success'])
  open('healthchecks', { timeoutMs: 60_000, lastMs: 50 })
  service.meet('hang')
  heartbeat.success()
  const startedAt = performance.now()
  await heartbeat.close()
  expect(performance.now() - startedAt).toBeLessThan(5_000)
  heartbeat.success('after the end')
  expect(failed).toEqual([['success', 'was stopped']])
})

test('a service that is not there is a failure by its code', async () => {
  const gone = await openReceiver()
  await gone.close()
  open('healthchecks', {}, gone.url)
  heartbeat.success()
  await settled(1)
  expect(failed).toEqual([['success', 'no answer: ECONNREFUSED']])
})
