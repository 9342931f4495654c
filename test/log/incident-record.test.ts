import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../src/log/clock.ts'
import { LogIncident } from '../../src/log/incident.ts'
import { IncidentRecord } from '../../src/log/incident-record.ts'
import type { Row } from '../../src/store/row.ts'
import { openPool, type Pool, type Query } from '../../src/store/session.ts'
import { createTestLog, recordsOf, schema, submit, type TestLog, until, untilIncident } from '../support/log.ts'

let home: TestLog
let state: Pool
let stopRecording: () => Promise<void>
beforeEach(async () => {
  home = await createTestLog()
  state = openPool(home.database.as('app_state_role'), 1, 10_000)
  stopRecording = async () => {}
})
afterEach(async () => {
  await home.drop()
  await stopRecording()
  await state.close()
})

function record(query: Query, failures: unknown[] = []): IncidentRecord {
  const made = new IncidentRecord(query, schema, { onNoted: () => {}, onFailed: (error) => failures.push(error) })
  const stop = new AbortController()
  const running = made.run(stop.signal)
  stopRecording = () => {
    stop.abort()
    return running
  }
  return made
}

function stored(): Promise<readonly Row[]> {
  return state.query(
    `select code, detail, published_size::int as size, published_root as root, count::int as count,
            last_seen >= first_seen as ordered
     from security_state.incidents
     order by first_seen`,
  )
}

test('a clock that is refused leaves one row, which counts, with the checkpoint at which it was met', async () => {
  const recording = record(state.query)
  let offset = 0
  const clock = (): number => systemClock() + offset
  const running = await home.start({ clock, onIncident: (error, place) => recording.note(error, place) })
  await submit(running.log, recordsOf(0, 20))
  const { root } = await running.log.waitForCheckpoint(20)
  offset = 3_600_000_000
  await untilIncident(running, 'CLOCK_SKEW')
  await until(
    async () => ((await stored())[0]?.count as number) > 1,
    () => 'no row that counts',
  )
  offset = 0
  await until(
    () => running.log.health.isReady,
    () => String(running.log.health.problem),
  )
  expect(await stored()).toEqual([
    {
      ...{ code: 'CLOCK_SKEW', detail: expect.stringContaining('clock') as string, size: 20 },
      ...{ root: Buffer.from(root), count: expect.any(Number) as number, ordered: true },
    },
  ])
})

test('what could not be written while the database was away is written when it is back', async () => {
  let isAway = true
  const failures: unknown[] = []
  const recording = record(async (text, values) => {
    if (isAway) throw new Error('away')
    return state.query(text, values)
  }, failures)
  const published = await home.cell.read()
  if (published === undefined) throw new Error('no checkpoint')
  const place = { publishedSize: 0, publishedRoot: published.root, integratedSize: 0 }
  for (let i = 0; i < 3; i++) recording.note(new LogIncident('ROLLBACK', `less ${i}`), place)
  recording.note(new Error('no connection'), place)
  await until(
    () => failures.length > 0,
    () => 'never tried',
  )
  isAway = false
  await stopRecording()
  expect(await stored()).toMatchObject([{ code: 'ROLLBACK', detail: 'less 2', size: 0, count: 3 }])
})
