import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Log } from '../../src/log/log.ts'
import type { Session } from '../../src/store/session.ts'
import {
  createTestLog,
  idOf,
  recordOf,
  recordsOf,
  submissionOf,
  submit,
  type TestLog,
  type TestRecord,
} from '../support/log.ts'

let home: TestLog
beforeEach(async () => {
  home = await createTestLog()
})
afterEach(() => home.drop())

const first = recordOf(1)

/** What becomes of one record: its sequence number and whether it is the entry, a duplicate or a conflict. */
async function outcomeOf(log: Log, record: TestRecord | string): Promise<[string, number]> {
  const { known, firstSequenceNumber } = await submit(log, [record])
  return known[0] === undefined ? ['new', firstSequenceNumber] : [known[0].kind, known[0].sequenceNumber]
}

const otherContents: readonly [string, Partial<TestRecord>][] = [
  ['actor', { actorId: 'somebody else' }],
  ['action', { action: 'document.write' }],
  ['resource', { resource: 'doc/2' }],
  ['payload', { payload: { n: 2 } }],
  ['time', { occurredAt: '2026-01-02T03:04:05Z' }],
  ['logical clock', { lamport: 1 }],
]

const sameContents: readonly [string, Partial<TestRecord>][] = [
  ['nothing', {}],
  ['the case of the id', { id: idOf(0xabcdef).toUpperCase() }],
  ['the address', { clientIp: '2001:db8::1' }],
]

describe.each(['in the next request', 'after the log was opened again', 'in the same request'] as const)(
  'the same id %s',
  (when) => {
    /** What becomes of a record like `record` with these changes, sent after `record` was accepted. */
    async function outcomesAfter(
      record: TestRecord,
      changes: readonly (readonly [string, Partial<TestRecord>])[],
    ): Promise<readonly string[]> {
      const changed = changes.map(([, change]) => ({ ...record, ...change }))
      const { log, stop } = await home.start()
      if (when === 'in the same request') {
        return (await submit(log, [record, ...changed])).known.map(({ kind }) => kind)
      }
      await submit(log, [record])
      if (when === 'after the log was opened again') await stop()
      const { log: next } = when === 'in the next request' ? { log } : await home.start()
      const outcomes = await Promise.all(changed.map((one) => outcomeOf(next, one)))
      expect(outcomes.every(([, sequenceNumber]) => sequenceNumber === 1)).toBe(true)
      return outcomes.map(([kind]) => kind)
    }

    test(`is the same entry where only this differs: ${namesOf(sameContents)}`, async () => {
      const outcomes = await outcomesAfter(recordOf(0xabcdef), sameContents)
      expect(outcomes).toEqual(sameContents.map(() => 'duplicate'))
      expect(await home.check()).toMatchObject({ size: 1 })
    })

    // Such ids are not looked up unless they were seen: those of idOf lie in the past and always are.
    test.each([
      ['made now', 1],
      ['a year ahead of its time', 31_536_000_000],
    ])('is the same entry or a conflict where the id is %s', async (_, aheadMs) => {
      const record = { ...first, id: idAt(Date.now() + aheadMs) }
      const outcomes = await outcomesAfter(record, [...sameContents.slice(2), ...otherContents])
      expect(outcomes).toEqual(['duplicate', ...otherContents.map(() => 'conflict')])
      expect(await home.check()).toMatchObject({ size: 1 })
    })

    test(`is a conflict where one of these differs: ${namesOf(otherContents)}`, async () => {
      expect(await outcomesAfter(first, otherContents)).toEqual(otherContents.map(() => 'conflict'))
      expect(await home.check()).toMatchObject({ size: 1 })
    })
  },
)

/** A UUIDv7 of this time. */
function idAt(unixMs: number): string {
  const time = unixMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000001`
}

function namesOf(changes: readonly (readonly [string, unknown])[]): string {
  return changes.map(([name]) => name).join(', ')
}

test.each([
  ['numbers by value', '{"a":1.0,"b":100,"c":-0}', '{"a":1,"b":1e2,"c":0}'],
  ['escapes', '{"a":"\\u00e9\\/"}', '{"a":"é/"}'],
  ['the order of members', '{"b":1,"a":{"10":1,"9":2}}', '{"a":{"9":2,"10":1},"b":1}'],
  ['white space', '{"a":[1,2]}', '{ "a" : [ 1 , 2 ] }'],
])('contents are compared by value: %s', async (_, one, other) => {
  const text = (payload: string): string =>
    `{"id":"${idOf(7)}","actorId":"a","action":"b","resource":"c","payload":${payload}}`
  const { log, stop } = await home.start()
  expect(await outcomeOf(log, text(one))).toEqual(['new', 1])
  expect(await outcomeOf(log, text(other))).toEqual(['duplicate', 1])
  await stop()
  expect(await home.check()).toMatchObject({ size: 1 })
})

test('times are compared as instants, whatever their offset', async () => {
  const { log } = await home.start()
  expect(await outcomeOf(log, { ...first, occurredAt: '2026-01-02T03:04:05.500000Z' })).toEqual(['new', 1])
  expect(await outcomeOf(log, { ...first, occurredAt: '2026-01-02T04:04:05.5+01:00' })).toEqual(['duplicate', 1])
  expect(await outcomeOf(log, { ...first, occurredAt: '2026-01-02T03:04:05.500001Z' })).toEqual(['conflict', 1])
})

test('another writer and another source position are the same entry; the first ones stand', async () => {
  const { log } = await home.start()
  await log.submit([submissionOf(first, 'token:one', 'http:192.0.2.1')])
  const { known } = await log.submit([submissionOf(first, 'token:two', 'kafka:t/0@5')])
  expect(known).toEqual([{ i: 0, kind: 'duplicate', sequenceNumber: 1 }])
})

test('records without an id are entries each time, also next to one that has the id they got', async () => {
  const { log, stop } = await home.start()
  const { id: _, ...anonymous } = first
  expect(await submit(log, [anonymous, anonymous])).toMatchObject({ acceptedCount: 2, known: [] })
  const [id] = (await home.check()).ids
  expect(await outcomeOf(log, { ...anonymous, id: id as string })).toEqual(['duplicate', 1])
  await stop()
  expect(await home.check()).toMatchObject({ size: 2 })
})

test('accepted records around known ones get consecutive numbers in the order of the request', async () => {
  const { log, stop } = await home.start()
  await submit(log, recordsOf(0, 3))
  const conflicting = { ...recordOf(2), resource: 'other' }
  const request = [recordOf(10), recordOf(1), recordOf(11), conflicting, recordOf(10), recordOf(12)]
  const placement = await submit(log, request)
  expect(placement).toMatchObject({ firstSequenceNumber: 4, acceptedCount: 3 })
  expect(placement.known).toEqual([
    { i: 1, kind: 'duplicate', sequenceNumber: 2 },
    { i: 3, kind: 'conflict', sequenceNumber: 3 },
    { i: 4, kind: 'duplicate', sequenceNumber: 4 },
  ])
  await stop()
  expect((await home.check()).ids.slice(3)).toEqual([idOf(10), idOf(11), idOf(12)])
})

test('the same ids from many requests at once, while their batch commits and before, are one entry each', async () => {
  let pauseMs = 0
  const slow = (session: Session): Session => ({
    ...session,
    commit: async () => {
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
      await session.commit()
    },
  })
  const { log, stop } = await home.start({ wrapSession: slow, batchLimits: { entriesMax: 40, bytesMax: 1_000_000 } })
  pauseMs = 10
  const waves = Array.from({ length: 40 }, (_, n) => submit(log, recordsOf((n * 7) % 50, ((n * 7) % 50) + 20)))
  const placements = await Promise.all(waves)
  expect(placements.flatMap(({ known }) => known).every(({ kind }) => kind === 'duplicate')).toBe(true)
  await stop()
  const { ids, size } = await home.check()
  expect(size).toBe(placements.reduce((sum, { acceptedCount }) => sum + acceptedCount, 0))
  expect(new Set(ids).size).toBe(size)
  placements.forEach(({ known }, n) => {
    for (const { i, sequenceNumber } of known) expect(ids[sequenceNumber - 1]).toBe(idOf(((n * 7) % 50) + i))
  })
})

test('a duplicate of a batch whose commit failed is not acknowledged', async () => {
  let isBroken = false
  const wrapSession = (session: Session): Session => ({
    ...session,
    commit: async () => {
      if (!isBroken) return session.commit()
      isBroken = false
      await new Promise((resolve) => setTimeout(resolve, 50))
      throw new Error('injected')
    },
  })
  const { log, stop } = await home.start({ wrapSession, batchLimits: { entriesMax: 1, bytesMax: 1_000_000 } })
  isBroken = true
  const answers = await Promise.allSettled([submit(log, [first]), submit(log, [first]), submit(log, [first])])
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  await stop()
  expect(await home.check()).toMatchObject({ size: 0 })
})
