import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { findingOfStop } from '../../src/incident/finding.ts'
import { openMax } from '../../src/incident/incident-office.ts'
import { entryOfAct } from '../../src/log/own-act-entry.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { readOldestActs, type SignedAct } from '../../src/store/acts.ts'
import { textVerifier } from '../../tlog/note.ts'
import { checkOwnAct } from '../../tlog/own-act.ts'
import { schema } from '../support/log.ts'
import { corrupt, type Desk, openDesk } from './desk.ts'

let desk: Desk
beforeAll(async () => {
  desk = await openDesk()
})
beforeEach(() =>
  desk.admin.query('truncate security_state.alarms, security_state.opened_incidents, security_state.acts'),
)
afterAll(() => desk.close())

function acts(): Promise<readonly SignedAct[]> {
  return readOldestActs(desk.state.query, schema, 1_000)
}

test('a violation opens an incident once, and counts each further time', async () => {
  const office = desk.open()
  const first = await office.open(corrupt, 'dendrolog')
  const again = await office.open({ ...corrupt, detail: 'other words' }, 'dendrolog')
  expect([first.isNew, again]).toEqual([true, { id: first.id, isNew: false }])
  const stored = await office.read(first.id)
  expect(stored).toMatchObject({
    ...{ violationType: 'PAYLOAD_CORRUPT', key: 'PAYLOAD_CORRUPT@7', sequenceNumber: 7, count: 2 },
    ...{ detail: corrupt.detail, evidence: JSON.stringify(corrupt.evidence), openedBy: 'dendrolog', closedAt: null },
  })
  expect(stored.firstSeen).toBeLessThanOrEqual(stored.openedAt)
  expect(stored.lastSeen).toBeGreaterThan(stored.openedAt)
  const other = await office.open({ ...corrupt, sequenceNumber: 8 }, 'dendrolog')
  const whole = await office.open({ violationType: 'ROLLBACK', detail: 'x', evidence: {} }, 'dendrolog')
  expect([other.isNew, whole.isNew]).toEqual([true, true])
  const tile = { violationType: 'TILE_MISMATCH', detail: 'x', evidence: {} }
  const tiles = [await office.open({ ...tile, place: 'tile 1/7' }, 'dendrolog')]
  tiles.push(await office.open({ ...tile, place: 'tile 1/8' }, 'dendrolog'))
  expect(tiles.map(({ isNew }) => isNew)).toEqual([true, true])
  expect((await office.list('open', undefined, 10)).map(({ key }) => key)).toEqual([
    'PAYLOAD_CORRUPT@7',
    'PAYLOAD_CORRUPT@8',
    'ROLLBACK',
    'TILE_MISMATCH@tile 1/7',
    'TILE_MISMATCH@tile 1/8',
  ])
})

test('of those who find the same at the same time one opens it', async () => {
  const offices = Array.from({ length: 8 }, () => desk.open())
  const opened = await Promise.all(offices.map((office) => office.open(corrupt, 'dendrolog')))
  expect(opened.filter(({ isNew }) => isNew)).toHaveLength(1)
  expect(new Set(opened.map(({ id }) => id)).size).toBe(1)
  expect(await acts()).toHaveLength(1)
  expect(await desk.open().alarmsOf(opened[0]?.id ?? '')).toHaveLength(2)
})

test('opening and closing are signed acts and alarms of each hook, in one statement with it', async () => {
  const office = desk.open()
  const { id } = await office.open(corrupt, 'dendrolog')
  const closed = await office.close(id, 'local:root', 'restored from the archive')
  expect(closed).toMatchObject({ closedBy: 'local:root', closeReason: 'restored from the archive' })
  const verifier = textVerifier(desk.vkey, nodeSignatureCheck)
  const told = (await acts()).map((act) => checkOwnAct(entryOfAct(act), verifier))
  const evidenceSha256 = createHash('sha256').update(JSON.stringify(corrupt.evidence)).digest('hex')
  expect(told).toMatchObject([
    {
      ...{ action: 'dendrolog.incident.open', actorId: 'dendrolog', resource: `incident:${id}` },
      detail: {
        ...{ incidentId: id, violationType: 'PAYLOAD_CORRUPT', key: 'PAYLOAD_CORRUPT@7', sequenceNumber: 7 },
        ...{ detail: corrupt.detail, evidenceSha256 },
      },
    },
    {
      ...{ action: 'dendrolog.incident.close', actorId: 'local:root', resource: `incident:${id}` },
      detail: { incidentId: id, violationType: 'PAYLOAD_CORRUPT', reason: 'restored from the archive' },
    },
  ])
  const alarms = (await office.alarmsOf(id)).map(({ hook, news, state }) => [hook, news, state])
  expect(alarms.toSorted()).toEqual([
    ['pagerduty', 'closed', 'pending'],
    ['pagerduty', 'opened', 'pending'],
    ['webhook', 'closed', 'pending'],
    ['webhook', 'opened', 'pending'],
  ])
})

test('what was closed stays as it was closed; what is found there again opens another one', async () => {
  const office = desk.open()
  const { id } = await office.open(corrupt, 'dendrolog')
  await office.close(id, 'local:root', 'first')
  expect((await office.close(id, 'local:other', 'second')).closeReason).toBe('first')
  const again = await office.open(corrupt, 'dendrolog')
  expect([again.isNew, again.id === id]).toEqual([true, false])
  expect((await office.list('open', undefined, 10)).map((each) => each.id)).toEqual([again.id])
  expect((await office.list('all', undefined, 10)).map((each) => each.id)).toEqual([id, again.id])
  expect(await office.list('all', id, 10)).toHaveLength(1)
  expect(await acts()).toHaveLength(3)
})

test('an id that is no incident’s is refused', async () => {
  const missing = '01893f9c-3488-7000-8000-000000000001'
  await expect(desk.open().close(missing, 'x', 'y')).rejects.toMatchObject({ code: 'no-such-incident' })
})

test('ten thousand altered rows are a hundred incidents and one for the rest', async () => {
  const office = desk.open({ hooks: [] })
  for (let n = 1; n <= openMax + 20; n++) await office.open({ ...corrupt, sequenceNumber: n }, 'dendrolog')
  const open = await office.list('open', undefined, 1_000)
  expect(open).toHaveLength(openMax + 1)
  expect(open.at(-1)).toMatchObject({ key: 'PAYLOAD_CORRUPT@more', sequenceNumber: null, count: 20 })
  expect(JSON.parse(open.at(-1)?.evidence ?? '')).toEqual({
    ...{ openMax, first: { sequenceNumber: openMax + 1, detail: corrupt.detail } },
  })
  // Another type has room, and so has this one when one is closed.
  expect((await office.open({ ...corrupt, violationType: 'LEAF_MISMATCH' }, 'dendrolog')).isNew).toBe(true)
  await office.close(open[0]?.id ?? '', 'x', 'y')
  expect(await office.open({ ...corrupt, sequenceNumber: 5_000 }, 'dendrolog')).toMatchObject({ isNew: true })
})

test('an outbox without room silences no alarm: the act comes later; closing waits', async () => {
  const office = desk.open()
  await desk.admin.query(
    `insert into security_state.acts (id, action, actor, resource, occurred_at, detail, signature)
     select gen_random_uuid(), 'dendrolog.x', 'dendrolog', 'x', now(), '{}', 's' from generate_series(1, 10000)`,
  )
  const { id, isNew } = await office.open(corrupt, 'dendrolog')
  expect([isNew, (await office.alarmsOf(id)).length]).toEqual([true, 2])
  await office.open(corrupt, 'dendrolog')
  await expect(office.tellUntold()).rejects.toMatchObject({ code: '53400' })
  await expect(office.close(id, 'local:root', 'x')).rejects.toMatchObject({ code: '53400' })
  expect(await office.read(id)).toMatchObject({ closedAt: null, count: 2 })
  await desk.admin.query(`delete from security_state.acts`)
  await office.tellUntold()
  await office.tellUntold()
  expect((await acts()).map(({ action, resource }) => [action, resource])).toEqual([
    ['dendrolog.incident.open', `incident:${id}`],
  ])
})

test('whatever stands in a finding can be stored, and is bounded', async () => {
  const office = desk.open()
  const strange = { ...corrupt, detail: `\0\ud800${'ü'.repeat(9_000)}`, evidence: { text: '\0\ud800', n: 1e300 } }
  const stored = await office.read((await office.open(strange, 'dendrolog')).id)
  expect([stored.detail.slice(0, 3), stored.detail.length]).toEqual(['\ufffd\ufffdü', 4_000])
  expect(JSON.parse(stored.evidence)).toEqual(strange.evidence)
  const long = { ...corrupt, sequenceNumber: 1, evidence: { rows: 'x'.repeat(100_000) } }
  const cut = await office.read((await office.open(long, 'dendrolog')).id)
  expect(JSON.parse(cut.evidence)).toEqual({
    tooLong: { bytes: 100_011, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
  })
})

test('what stopped the log is a finding where it is a violation', () => {
  const place = { publishedSize: 5, integratedSize: 6 }
  expect(findingOfStop({ code: 'ROLLBACK', message: 'the head has 3 entries' }, place)).toEqual({
    ...{ violationType: 'ROLLBACK', detail: 'the head has 3 entries', evidence: place },
  })
  expect(findingOfStop({ code: 'CLOCK_SKEW', message: 'x' }, place)).toBeUndefined()
})
