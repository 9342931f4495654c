import { afterEach, beforeEach, expect, test } from 'vitest'
import { CheckpointFollower } from '../../src/log/checkpoint-follower.ts'
import { Publisher } from '../../src/log/publisher.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { openTileStore } from '../../src/store/tile-store.ts'
import { createTestLog, origin, type RunningLog, recordsOf, schema, submit, type TestLog } from '../support/log.ts'

let home: TestLog
let leader: RunningLog
let reader: Pool
let publisher: Publisher
let follower: CheckpointFollower
let looks: number
let isAway: boolean
beforeEach(async () => {
  home = await createTestLog()
  leader = await home.start()
  reader = openPool(home.database.as('auditor_reader_role'), 2, 10_000)
  looks = 0
  isAway = false
  const query: Pool['query'] = (text, values) => {
    if (isAway) return Promise.reject(new Error('injected: the database is away'))
    if (text.includes('.checkpoints')) looks++
    return reader.query(text, values)
  }
  publisher = new Publisher(leader.log.published, {
    ...{ intervalMs: 10, resignAfterMs: 60_000, clock: () => 0 },
    ...{ flushed: async () => {}, onSigned: () => {} },
  })
  const tiles = openTileStore(reader.query, schema, nativeSha256)
  const followed = { origin, keys: home.keys, schema, hash: nativeSha256, tiles, query, standsBy: true }
  follower = new CheckpointFollower(followed, publisher, () => {})
})
afterEach(async () => {
  await reader.close()
  await home.drop()
})

async function publish(from: number, to: number): Promise<void> {
  await submit(leader.log, recordsOf(from, to))
  await leader.log.waitForCheckpoint(to)
}

const ofSize = (size: number) => (): Promise<number> =>
  follower.upTo(({ treeSize }) => treeSize >= size).then(({ treeSize }) => treeSize)

test('a thousand who ask at the same time cost one look, or two where one was under way', async () => {
  await publish(0, 10)
  await follower.standBy(async () => {
    const early = ofSize(1_000_000)()
    const sizes = await Promise.all(Array.from({ length: 1_000 }, (_, i) => ofSize(5 + i)()))
    expect([await early, ...new Set(sizes)]).toEqual([10, 10])
    expect(looks).toBeLessThanOrEqual(2)
  })
})

test('who asks while a look is under way is answered by the next one', async () => {
  await follower.standBy(async () => {
    const first = follower.look()
    await publish(0, 10)
    expect(await ofSize(10)()).toBe(10)
    await first
  })
})

test('a server that leads serves nothing that it did not sign: who asks for more waits for it', async () => {
  await publish(0, 10)
  const waiting = ofSize(10)()
  expect(await follower.look()).toMatchObject({ treeSize: 10 })
  expect(publisher.published.treeSize).toBe(0)
  publisher.accept(leader.log.published)
  expect(await waiting).toBe(10)
})

test('a server that leads, and finds that another one signs, says "not now" when it has noticed', async () => {
  await publish(0, 10)
  const refused = expect(ofSize(10)()).rejects.toMatchObject({ name: 'Unavailable' })
  await follower.look()
  publisher.stop(new Error('the lock was lost'))
  await refused
})

test('a server that stands by is behind from its last good look on; one that leads never is', async () => {
  expect(follower.behindMs).toBe(0)
  await follower.standBy(async () => {
    await follower.look()
    isAway = true
    await expect(follower.look()).rejects.toThrow('injected')
    const behindMs = follower.behindMs
    expect(behindMs).toBeGreaterThan(0)
    await expect(follower.look()).rejects.toThrow('injected')
    expect(follower.behindMs).toBeGreaterThan(behindMs)
  })
  expect(follower.behindMs).toBe(0)
})
