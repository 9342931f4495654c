import { once } from 'node:events'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Hook, HookFailure } from '../../src/ops/hooks/hook.ts'
import { webhook } from '../../src/ops/hooks/webhook.ts'
import type { Query } from '../../src/store/session.ts'
import { until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { corrupt, type Desk, openDesk, type SenderRun } from './desk.ts'

let desk: Desk
let receiver: Receiver
beforeEach(async () => {
  ;[desk, receiver] = await Promise.all([openDesk(), openReceiver()])
})
afterEach(async () => {
  await desk.close()
  await receiver.close()
})

function toReceiver(): Hook {
  return webhook({ url: new URL(receiver.url), secrets: [new Uint8Array(32)], nowMs: Date.now })
}

async function openIncident(hooks: readonly string[] = ['webhook']): Promise<string> {
  return (await desk.open({ hooks }).open(corrupt, 'dendrolog')).id
}

async function settled(run: SenderRun, outcome: string, count = 1): Promise<void> {
  await until(
    () => run.attempts.filter(([, how]) => how === outcome).length >= count,
    () => `${count} attempts ${outcome}; had ${JSON.stringify(run.attempts)} ${run.failures.join()}`,
  )
}

const ids = (): unknown[] => receiver.received.map(({ headers }) => headers['webhook-id'])

async function statesOf(incident: string): Promise<unknown[]> {
  const alarms = await desk.open().alarmsOf(incident)
  return alarms.map(({ hook, news, state, attempts }) => `${hook} ${news} ${state} ${attempts}`).toSorted()
}

test('an alarm is delivered, once, and its closing after it', async () => {
  const id = await openIncident()
  const run = desk.send({ hooks: [toReceiver()] })
  await settled(run, 'delivered')
  await desk.open().close(id, 'local:root', 'restored')
  await settled(run, 'delivered', 2)
  expect(ids()).toEqual([`${id}_opened`, `${id}_closed`])
  expect(JSON.parse(receiver.received[1]?.body ?? '')).toMatchObject({
    type: 'incident.closed',
    data: { incident: { id, closedBy: 'local:root', closeReason: 'restored' } },
  })
  expect(await statesOf(id)).toEqual(['webhook closed delivered 1', 'webhook opened delivered 1'])
})

test('500, resets before and after acting: it is tried again, with the same id and body', async () => {
  const id = await openIncident()
  receiver.meet(500, 'reset-at-once', 'reset-after-acting', 503)
  const run = desk.send({ hooks: [toReceiver()] })
  await settled(run, 'delivered')
  expect(run.attempts.map(([, outcome]) => outcome)).toEqual(['failed', 'failed', 'failed', 'failed', 'delivered'])
  expect(ids()).toEqual(Array(4).fill(`${id}_opened`))
  expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1)
})

test('a hook that hangs holds up no other', async () => {
  const id = await openIncident(['slow', 'webhook'])
  const slow: Hook = {
    name: 'slow',
    deliver: async (_, signal) => {
      signal.throwIfAborted()
      await once(signal, 'abort')
      signal.throwIfAborted()
    },
  }
  const run = desk.send({ hooks: [slow, toReceiver()] })
  await settled(run, 'delivered')
  // The slow one is claimed by a loop of its own, which may come later.
  await until(
    async () => (await statesOf(id)).includes('slow opened pending 1'),
    () => 'an attempt of the slow one',
  )
  expect(await statesOf(id)).toEqual(['slow opened pending 1', 'webhook opened delivered 1'])
})

test('after the last attempt it is a dead letter, which can be listed and tried again', async () => {
  const id = await openIncident()
  receiver.meet(500, 500, 500)
  let dead = 0
  desk.send({
    hooks: [toReceiver()],
    timing: { attemptsMax: 3 },
    onCounted: (counts) => (dead = counts[0]?.dead ?? 0),
  })
  await until(
    () => dead === 1,
    () => 'a dead letter',
  )
  const [letter, ...others] = await desk.open().deadLetters(10)
  expect(others).toEqual([])
  expect(letter).toMatchObject({ incident: id, hook: 'webhook', news: 'opened', attempts: 3, lastError: 'status 500' })
  expect(await desk.open().retry([letter?.id ?? ''])).toBe(1)
  await until(
    () => dead === 0,
    () => 'no dead letter',
  )
  await settledByRetry(id)
  expect(await desk.open().retry('all')).toBe(0)
})

async function settledByRetry(id: string): Promise<void> {
  await until(
    async () => (await statesOf(id)).includes('webhook opened delivered 1'),
    () => 'delivered',
  )
}

test('a closing waits for its opening; after a dead opening it comes, and again after a retry of that', async () => {
  const id = await openIncident()
  await desk.open().close(id, 'local:root', 'false alarm')
  receiver.meet(500, 410)
  const run = desk.send({ hooks: [toReceiver()] })
  await settled(run, 'delivered')
  expect(run.attempts.map(([, outcome]) => outcome)).toEqual(['failed', 'dead', 'delivered'])
  expect(ids()).toEqual([`${id}_opened`, `${id}_opened`, `${id}_closed`])
  expect(await desk.open().retry('all')).toBe(2)
  await settled(run, 'delivered', 3)
  expect(ids().slice(3)).toEqual([`${id}_opened`, `${id}_closed`])
  // What opened it still says nothing of the closing.
  expect(JSON.parse(receiver.received[3]?.body ?? '')).toMatchObject({ data: { incident: { closedAt: null } } })
})

test('a restart in the middle of an attempt loses no alarm', async () => {
  const id = await openIncident()
  receiver.meet('hang')
  const first = desk.send({ hooks: [toReceiver()] })
  await until(
    () => receiver.received.length === 1,
    () => 'an attempt under way',
  )
  await first.stop()
  const second = desk.send({ hooks: [toReceiver()] })
  await settled(second, 'delivered')
  expect(await statesOf(id)).toEqual(['webhook opened delivered 2'])
})

test('what a process that was killed had claimed is delivered by another when its lease is over', async () => {
  const id = await openIncident()
  let end = (): void => {}
  const ended = new Promise<never>((_, reject) => (end = () => reject(new Error('ended'))))
  ended.catch(() => {})
  const claimedOnly: Query = (text, values) =>
    text.includes('last_error = $4') ? ended : desk.state.query(text, values)
  const killed = desk.send({ hooks: [toReceiver()], query: claimedOnly, timing: { leaseMs: 300 } })
  await until(
    () => receiver.received.length === 1,
    () => 'delivered, but not written down',
  )
  const other = desk.send({ hooks: [toReceiver()], timing: { leaseMs: 300 } })
  await settled(other, 'delivered')
  end()
  expect(killed.attempts).toEqual([])
  expect(ids()).toEqual([`${id}_opened`, `${id}_opened`])
})

test('two servers deliver each alarm once', async () => {
  const office = desk.open({ hooks: ['webhook'] })
  for (let n = 1; n <= 40; n++) await office.open({ ...corrupt, sequenceNumber: n }, 'dendrolog')
  const runs = [desk.send({ hooks: [toReceiver()] }), desk.send({ hooks: [toReceiver()] })]
  await until(
    () => runs.flatMap(({ attempts }) => attempts).length >= 40,
    () => 'all delivered',
  )
  await Promise.all(runs.map((run) => run.stop()))
  expect([ids().length, new Set(ids()).size]).toEqual([40, 40])
})

test('an outcome whose writing fails, or fails but is done, is an alarm that comes again, or not', async () => {
  for (const isDone of [false, true]) {
    let faults = 1
    const failing: Query = async (text, values) => {
      const isFault = text.includes('last_error = $4') && faults-- > 0
      if (isFault && !isDone) throw new Error('injected before')
      const rows = await desk.state.query(text, values)
      if (isFault) throw new Error('injected after')
      return rows
    }
    const id = await openIncident()
    const run = desk.send({ hooks: [toReceiver()], query: failing, timing: { leaseMs: 200 } })
    await until(
      async () => String(await statesOf(id)).includes('delivered'),
      () => `delivered; ${run.failures.join()}`,
    )
    await run.stop()
    expect(run.failures.map(String)).toEqual([`Error: injected ${isDone ? 'after' : 'before'}`])
    expect(await statesOf(id)).toEqual([`webhook opened delivered ${isDone ? 1 : 2}`])
    await desk.open().close(id, 'local:root', 'next')
  }
})

test('a receiver that wants to be left alone is, until then', async () => {
  await openIncident()
  let calls = 0
  const busy: Hook = {
    name: 'webhook',
    deliver: async () => {
      if (calls++ === 0) throw new HookFailure('busy', { retryAfterMs: 400 })
    },
  }
  const startedAt = performance.now()
  const run = desk.send({ hooks: [busy], timing: { retryMaxMs: 10_000 } })
  await settled(run, 'delivered')
  expect(performance.now() - startedAt).toBeGreaterThan(390)
})

test('an alarm for a hook that nobody has is buried after a time', async () => {
  const id = await openIncident(['pagerduty'])
  const run = desk.send({ hooks: [toReceiver()], timing: { buryMs: 100 } })
  await until(
    async () => String(await statesOf(id)) === 'pagerduty opened dead 0',
    () => 'buried',
  )
  await run.stop()
  expect((await desk.open().deadLetters(1))[0]?.lastError).toBe('no server has this hook')
})

test('a database that is away is told, and asked again', async () => {
  await openIncident()
  let isAway = true
  const query: Query = async (text, values) => {
    if (isAway) throw new Error('away')
    return desk.state.query(text, values)
  }
  const run = desk.send({ hooks: [toReceiver()], query })
  await until(
    () => run.failures.length > 2,
    () => 'failures',
  )
  isAway = false
  await settled(run, 'delivered')
})
