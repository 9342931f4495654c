import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { valueCharactersMax, watchedEntry } from '../../src/rules/entry.ts'
import { RuleFollower, type RuleFollowerOptions } from '../../src/rules/rule-follower.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { readRuleState } from '../../src/store/watch-rules.ts'
import { readWatchedEntries } from '../../src/store/watched-entries.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { createTestLog, type RunningLog, schema, submissionOf, type TestLog } from '../support/log.ts'

// On a real log: what is told, and that it is told once over starts and failures.

let home: TestLog
let running: RunningLog
let state: Pool
let reader: Pool
let admin: Pool
let size = 0

beforeAll(async () => {
  home = await createTestLog()
  running = await home.start()
  state = openPool(home.database.as('app_state_role'), 2, 10_000)
  reader = openPool(home.database.as('auditor_reader_role'), 2, 10_000)
  admin = openPool(home.database.admin, 1, 10_000)
})
beforeEach(() => admin.query('truncate security_state.watch_rules'))
afterAll(async () => {
  await running.stop()
  await home.check()
  await Promise.all([state.close(), reader.close(), admin.close()])
  await home.drop()
})

async function append(...payloads: readonly object[]): Promise<void> {
  await running.log.submit(
    payloads.map((payload) => submissionOf({ actorId: 'alice', action: 'doc.read', resource: 'doc/1', payload })),
  )
  size += payloads.length
  await running.log.waitForCheckpoint(size)
}

const rule = (name: string, more: object): object => ({ name, match: {}, ...more })
const bursts = { rules: [rule('burst', { threshold: { count: 3, withinSeconds: 600 } })] }
const bad = { rules: [rule('bad', { match: { payload: { '/kind': 'bad' } } })] }

type Told = { readonly follower: RuleFollower; readonly told: (readonly [rule: string, number: number])[] }

function followerOf(file: object, options: Partial<RuleFollowerOptions> = {}): Told {
  const told: (readonly [string, number])[] = []
  const follower = new RuleFollower({
    ...{ file: encodeUtf8(JSON.stringify(file)), hash: nativeSha256, schema, nowMs: () => 0 },
    ...{ read: reader.query, state: state.query, mustTell: () => true },
    ...{ onForgetting: () => {}, onUnseen: (...unseen) => expect.unreachable(unseen.join(' ')) },
    ...{ onStateLost: (error) => expect.unreachable(error.message) },
    tell: async (matches) => void told.push(...matches.map(({ rule, entry }) => [rule, entry.sequenceNumber] as const)),
    ...options,
  })
  return { follower, told }
}

test('the first start begins with the newest entry, and new ones are told of', async () => {
  await append({ kind: 'bad' }, {})
  const { follower, told } = followerOf(bad)
  expect(await follower.readPosition()).toBe(0)
  expect(await follower.step(size)).toEqual({ position: size, hasWorked: false })
  const before = size
  await append({}, { kind: 'bad' }, { kind: 'good' })
  expect(await follower.step(size)).toEqual({ position: size, hasWorked: true })
  expect(told).toEqual([['bad', before + 2]])
})

test('nothing is told again after a start, whether the end was clean or not, and counting goes on', async () => {
  const first = followerOf(bursts)
  await first.follower.step(size)
  const before = size
  await append({}, {}, {})
  await first.follower.step(size)
  expect(first.told).toEqual([['burst', before + 3]])
  // Not closed: what it remembers is of the time before the three.
  expect(await readRuleState(state.query, schema)).toMatchObject({ told: size, position: before })
  const second = followerOf(bursts)
  await append({})
  await second.follower.step(size)
  await second.follower.step(size)
  expect([await second.follower.step(size), second.told]).toEqual([{ position: size, hasWorked: false }, []])
  await second.follower.close()
  expect(await readRuleState(state.query, schema)).toMatchObject({ told: size, position: size })
  await append({ kind: 'x' })
  const third = followerOf(bursts)
  await third.follower.step(size)
  expect([third.told, await third.follower.readPosition()]).toEqual([[], size - 1])
})

test('a start in the middle of a burst changes nothing', async () => {
  const first = followerOf(bursts)
  await first.follower.step(size)
  await append({}, {})
  await first.follower.step(size)
  await first.follower.close()
  await append({})
  const second = followerOf(bursts)
  await second.follower.step(size)
  expect([first.told, second.told]).toEqual([[], [['burst', size]]])
})

test('what could not be told is told by the next step', async () => {
  let failures = 0
  const { follower } = followerOf(bad)
  await follower.step(size)
  const told: number[] = []
  const failing = followerOf(bad, {
    tell: async (matches) => {
      if (failures++ === 0) throw new Error('the database is away')
      told.push(...matches.map(({ entry }) => entry.sequenceNumber))
    },
  })
  await append({ kind: 'bad' })
  await expect(failing.follower.step(size)).rejects.toThrow('away')
  await failing.follower.step(size)
  expect([failures, told]).toEqual([2, [size]])
})

test('of two servers that tell one fails and goes on from the other', async () => {
  const [one, two] = [followerOf(bad), followerOf(bad)]
  await one.follower.step(size)
  await two.follower.step(size)
  await append({ kind: 'bad' })
  await one.follower.step(size)
  await expect(two.follower.step(size)).rejects.toThrow('another server')
  await append({ kind: 'bad' })
  await two.follower.step(size)
  await two.follower.step(size)
  expect(two.told.at(-1)).toEqual(['bad', size])
})

test('a server that need not tell knows how far the other is', async () => {
  let mustTell = true
  const { follower, told } = followerOf(bad, { mustTell: () => mustTell })
  await follower.step(size)
  mustTell = false
  const before = size
  await append({ kind: 'bad' })
  expect(await follower.step(size)).toEqual({ position: before, hasWorked: false })
  mustTell = true
  await follower.step(size)
  expect(told).toEqual([['bad', size]])
})

test('a state that is damaged is told of, and the rules begin anew there', async () => {
  const first = followerOf(bursts)
  await first.follower.step(size)
  await append({}, {})
  await first.follower.step(size)
  await first.follower.close()
  await admin.query(`update security_state.watch_rules set state = '{"format":1,"rules":7}'`)
  const lost: string[] = []
  const second = followerOf(bursts, { onStateLost: (error) => lost.push(error.message) })
  await append({}, {}, {})
  await second.follower.step(size)
  expect([lost.length, second.told]).toEqual([1, [['burst', size]]])
})

test('other rules are used from the next step on, and those that stay go on', async () => {
  const { follower, told } = followerOf(bursts)
  await follower.step(size)
  await append({}, {})
  await follower.step(size)
  follower.use(encodeUtf8(JSON.stringify({ rules: [...bad.rules, ...bursts.rules] })))
  await append({ kind: 'bad' })
  await follower.step(size)
  expect(told).toEqual([
    ['bad', size],
    ['burst', size],
  ])
})

test('what rules remember is saved now and then', async () => {
  let nowMs = 0
  const { follower } = followerOf(bursts, { nowMs: () => nowMs, saveEveryMs: 1_000 })
  await follower.step(size)
  await append({})
  await follower.step(size)
  expect((await readRuleState(state.query, schema))?.position).toBe(size - 1)
  nowMs = 1_000
  await follower.step(size)
  expect((await readRuleState(state.query, schema))?.position).toBe(size)
})

test('the database takes the same out of payloads as is taken out of their JSON', async () => {
  const trees = '\u{1f332}'.repeat(valueCharactersMax + 1)
  const payloads = [
    { a: { b: 'x', '': null, '/~': 1.5 }, l: [true, { c: 'y' }], 0: 'zero' },
    { a: [], l: { 1: { c: 'object' } }, t: trees, n: 1e300 },
    { a: 'text', l: [], t: 'x"\\\u0001', n: -0.1 },
    { a: null },
    {},
  ]
  const from = size + 1
  await append(...payloads)
  const pointers = [['a'], ['a', 'b'], ['a', ''], ['a', '/~'], ['l', '1', 'c'], ['l', '0'], ['0'], ['t'], ['n'], []]
  const entries = await readWatchedEntries(reader.query, schema, from, size, pointers, valueCharactersMax)
  const shallow = (value: unknown): unknown =>
    typeof value === 'object' && value !== null ? (Array.isArray(value) ? [] : {}) : value
  const facts = { sequenceNumber: 0, timestamp: 0, occurredAt: null, writer: '', clientIp: '' }
  const expected = payloads.map((payload) =>
    watchedEntry({ ...facts, actorId: '', action: '', resource: '' }, payload, pointers).values.map(shallow),
  )
  expect(entries.map(({ values }) => values)).toEqual(expected)
  expect(entries[0]).toMatchObject({ sequenceNumber: from, actorId: 'alice', action: 'doc.read', resource: 'doc/1' })
})

test('rows that somebody altered or removed do not hide the others, and are told of', async () => {
  const unseen: (readonly number[])[] = []
  await followerOf(bad).follower.step(size)
  const before = size
  await append({ kind: 'bad' }, { kind: 'bad' }, { kind: 'bad' }, { kind: 'bad' })
  const rows = `from security.audit_logs where sequence_number > ${before} and sequence_number <= ${size}`
  // What a superuser may leave behind, read in place of the ledger.
  const altered = `(
    select sequence_number, timestamp, case sequence_number when ${before + 2} then null else actor_id end as actor_id,
      action, resource, client_ip, writer, payload,
      case sequence_number when ${before + 3} then timestamptz 'infinity' else occurred_at end as occurred_at
    ${rows} and sequence_number <> ${before + 1}) as altered`
  const { follower: tampered, told } = followerOf(bad, {
    read: (text, values) => reader.query(text.replace('security.audit_logs', altered), values),
    onUnseen: (...each) => unseen.push(each),
  })
  await tampered.step(size)
  expect(told).toEqual([
    ['bad', before + 3],
    ['bad', before + 4],
  ])
  expect(unseen).toEqual([[2, before + 1, size]])
})

/** Looks at so much of payloads that a step is of 63 entries. */
const broad = {
  rules: Array.from({ length: 4 }, (_, i) => ({
    name: `r${i}`,
    match: {
      actorId: i === 0 ? 'alice' : 'nobody',
      payload: Object.fromEntries(Array.from({ length: 16 }, (_, j) => [`/m${i}-${j}`, { exists: false }])),
    },
  })),
}

test('an end while entries are read again does not lead to telling them again', async () => {
  const first = followerOf(broad)
  await first.follower.step(size)
  const before = size
  await append(...Array.from({ length: 130 }, () => ({})))
  while ((await first.follower.step(size)).hasWorked);
  expect(first.told).toHaveLength(130)
  const second = followerOf(broad)
  expect(await second.follower.step(size)).toEqual({ position: before + 63, hasWorked: true })
  await second.follower.close()
  const third = followerOf(broad)
  while ((await third.follower.step(size)).hasWorked);
  expect([second.told, third.told, await third.follower.readPosition()]).toEqual([[], [], size])
})

test('a file that comes while another server tells is used all the same', async () => {
  const [one, two] = [followerOf(bursts), followerOf(bursts)]
  await one.follower.step(size)
  await two.follower.step(size)
  await append({})
  await two.follower.step(size)
  await one.follower.step(size)
  await one.follower.close()
  two.follower.use(encodeUtf8(JSON.stringify(bad)))
  await append({ kind: 'bad' })
  await expect(two.follower.step(size)).rejects.toThrow('another server')
  await two.follower.step(size)
  expect(two.told).toEqual([['bad', size]])
})
