import { Writable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Alarms } from '../../src/incident/alarms.ts'
import { openAlarms, openHeartbeat } from '../../src/incident/open-alarms.ts'
import { makeId } from '../../src/ingest/make-id.ts'
import { webhook } from '../../src/ops/hooks/webhook.ts'
import { createLogger } from '../../src/ops/logger.ts'
import { createMetrics, type Metrics, type Readings } from '../../src/ops/metrics.ts'
import { DatabaseOutage } from '../../src/store/outage.ts'
import type { Query } from '../../src/store/session.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { origin, schema, until } from '../support/log.ts'
import { openReceiver, type Receiver } from '../support/receiver.ts'
import { corrupt, type Desk, openDesk, quick } from './desk.ts'

let desk: Desk
let receiver: Receiver
let logged = ''
let metrics: Metrics
let stops: (() => Promise<void>)[] = []
beforeEach(async () => {
  ;[desk, receiver] = await Promise.all([openDesk(), openReceiver('/secret-path')])
  logged = ''
  stops = []
  metrics = createMetrics(() => ({}) as Readings)
})
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()))
  await desk.close()
  await receiver.close()
})

const logger = createLogger(
  'debug',
  new Writable({
    write(chunk, _encoding, done) {
      logged += String(chunk)
      done()
    },
  }),
)

function open(query: Query): Alarms {
  const hooks = [webhook({ url: new URL(receiver.url), secrets: [new Uint8Array(32)], nowMs: Date.now })]
  const signAct = async (said: object): Promise<never> =>
    ({ ...said, id: formatUuid(makeId()), occurredAt: Date.now() * 1_000, signature: 'signed' }) as never
  const { alarms } = openAlarms(
    {
      ...{ query, schema, origin, hooks, signAct, by: 'dendrolog', nowMs: Date.now, timing: quick },
      makeId: () => formatUuid(makeId()),
    },
    logger,
    metrics,
  )
  return alarms
}

/** As a server has it. */
function run(query: Query = desk.state.query): { alarms: Alarms; stop: () => Promise<void> } {
  const alarms = open(query)
  const stopping = new AbortController()
  const running = alarms.run(stopping.signal)
  const stop = (): Promise<void> => {
    stopping.abort()
    return running
  }
  stops.push(stop)
  return { alarms, stop }
}

test('what is found each round is one incident and one alarm, and is in log and metrics', async () => {
  const { alarms } = run()
  for (let round = 1; round <= 3; round++) {
    alarms.raise(corrupt)
    await until(
      async () => (await desk.open().list('open', undefined, 10))[0]?.count === round,
      () => `round ${round}`,
    )
  }
  await until(
    () => receiver.received.length > 0,
    () => 'an alarm',
  )
  expect(receiver.received).toHaveLength(1)
  await until(
    async () => (await metrics.format()).includes('dendrolog_open_incidents{kind="violation"} 1'),
    () => 'metrics',
  )
  const text = await metrics.format()
  expect(text).toContain('dendrolog_hook_attempts_total{hook="webhook",outcome="delivered"} 1')
  expect(text).toContain('dendrolog_hook_dead_letters{hook="webhook"} 0')
  expect(text).toMatch(/dendrolog_hook_delivered_timestamp_seconds\{hook="webhook"\} \d{10}/)
  expect(logged).toContain('an incident was opened')
  expect(logged).not.toContain('secret-path')
})

test('while the queue cannot be written hooks are told at once, once; when it can be, with the same id', async () => {
  let isAway = true
  const query: Query = async (text, values) => {
    if (isAway) throw new Error('the login was taken away')
    return desk.state.query(text, values)
  }
  const { alarms } = run(query)
  for (let i = 0; i < 5; i++) alarms.raise(corrupt)
  await until(
    () => receiver.received.length === 1,
    () => 'told',
  )
  await new Promise((resolve) => setTimeout(resolve, 700))
  expect(receiver.received).toHaveLength(1)
  isAway = false
  await until(
    () => receiver.received.length === 2,
    () => 'told by the queue',
  )
  const [first, second] = receiver.received.map(({ headers }) => headers['webhook-id'])
  const [incident] = await desk.open().list('open', undefined, 10)
  expect([first, second]).toEqual([`${incident?.id}_opened`, `${incident?.id}_opened`])
})

test('a database that is away is asked once a round, and of many findings a few at a time are told', async () => {
  let asked = 0
  const query: Query = async () => {
    asked++
    throw new DatabaseOutage('away')
  }
  const { alarms } = run(query)
  for (let n = 0; n < 30; n++) alarms.raise({ ...corrupt, sequenceNumber: n })
  await until(
    () => receiver.received.length === 30,
    () => 'all told',
  )
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(30)
  // The sender asks too.
  expect(asked).toBeLessThan(60)
})

test('a finding that cannot be stored is told, and holds up no other', async () => {
  const { alarms } = run()
  alarms.raise({ ...corrupt, violationType: 'no type' })
  alarms.raise(corrupt)
  await until(
    async () => (await desk.open().list('open', undefined, 10)).length === 1,
    () => 'the other incident',
  )
  await until(
    () => receiver.received.some(({ body }) => body.includes('no type')),
    () => 'both told',
  )
})

test('what was raised just before the end is kept for the next start', async () => {
  const { alarms, stop } = run()
  alarms.raise(corrupt)
  await stop()
  expect(await desk.open().list('open', undefined, 10)).toHaveLength(1)
  run()
  await until(
    () => receiver.received.length === 1,
    () => 'told by the next start',
  )
})

test('while neither queue nor hook can be reached, the hook is tried again until one can', async () => {
  receiver.meet(500, 500, 500)
  const { alarms } = run(() => Promise.reject(new Error('away')))
  alarms.raise(corrupt)
  await until(
    () => receiver.received.length === 4,
    () => `told; had ${receiver.received.length} attempts`,
  )
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(receiver.received).toHaveLength(4)
})

test('a program that ends tells what it found before it ends; what failed is for the next', async () => {
  const never = new AbortController().signal
  const first = open(desk.state.query)
  first.raise(corrupt)
  receiver.meet(500)
  await first.runOnce(never)
  expect(receiver.received).toHaveLength(1)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await open(desk.state.query).runOnce(never)
  await open(desk.state.query).runOnce(never)
  expect(receiver.received).toHaveLength(2)
  // Without the database hooks are told all the same.
  const last = open(() => Promise.reject(new Error('away')))
  last.raise({ ...corrupt, sequenceNumber: 8 })
  await last.runOnce(never)
  expect(receiver.received).toHaveLength(3)
  expect(logged).toContain('no incident was opened of this finding')
})

test('a database that says that hooks were told already keeps them from nothing that is new', async () => {
  const never = new AbortController().signal
  const { id } = await desk.open().open(corrupt, 'somebody')
  await desk.state.query('update security_state.alarms set delivered_at = now()')
  const known = open(desk.state.query)
  known.raise(corrupt)
  await known.runOnce(never)
  expect(receiver.received).toEqual([])
  const found = open(desk.state.query)
  found.raise({ ...corrupt, isNew: true })
  await found.runOnce(never)
  expect(receiver.received.map(({ body }) => JSON.parse(body) as object)).toMatchObject([
    { type: 'incident.opened', data: { incident: { id, violationType: corrupt.violationType } } },
  ])
  // What the queue itself delivers is not told twice.
  const other = open(desk.state.query)
  other.raise({ ...corrupt, sequenceNumber: 8, isNew: true })
  await other.runOnce(never)
  expect(receiver.received).toHaveLength(2)
})

test('of findings without end a thousand wait; the others are told in the log', () => {
  const office = desk.open()
  let dropped = 0
  const alarms = new Alarms({
    ...{ office, hooks: [], origin, by: 'dendrolog', sender: undefined as never },
    ...{ makeId: () => formatUuid(makeId()), nowMs: Date.now },
    ...{ onOpened: () => {}, onSentUnstored: () => {}, onFailed: () => {}, onDropped: () => dropped++ },
  })
  for (let n = 0; n < 1_500; n++) alarms.raise({ ...corrupt, sequenceNumber: n })
  for (let n = 0; n < 500; n++) alarms.raise({ ...corrupt, sequenceNumber: n })
  expect(dropped).toBe(500)
})

test('a heartbeat is in the metrics, and its failures in the log without the path', async () => {
  const heartbeat = openHeartbeat({ url: receiver.url, style: 'plain' }, Date.now, logger, metrics)
  heartbeat.success()
  await until(
    async () => (await metrics.format()).includes('dendrolog_heartbeats_total{kind="success",outcome="sent"} 1'),
    () => 'a ping',
  )
  expect(await metrics.format()).toMatch(/dendrolog_heartbeat_sent_timestamp_seconds\{kind="success"\} \d{10}/)
  receiver.meet('hang')
  heartbeat.success()
  await heartbeat.close()
  expect(logged).toContain('the dead-man service could not be told')
  expect(logged).not.toContain('secret-path')
})
