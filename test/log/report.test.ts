import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { LogIncident } from '../../src/log/incident.ts'
import { reportIncidents, reportRequests, reportSearch, reportTurns } from '../../src/log/report.ts'
import { createLogger, type Logger } from '../../src/ops/logger.ts'
import { createMetrics } from '../../src/ops/metrics.ts'
import { DatabaseOutage } from '../../src/store/outage.ts'

function recorder(): { readonly logger: Logger; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)) as Record<string, unknown>)
      done()
    },
  })
  return { logger: createLogger('info', destination), lines }
}

test('a thousand requests that find no database are one line without a stack', () => {
  const { logger, lines } = recorder()
  const report = reportRequests(logger)
  for (let i = 0; i < 1_000; i++) report(new DatabaseOutage('timeout exceeded when trying to connect'), `request-${i}`)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({
    ...{ msg: 'the database cannot be asked', requestId: 'request-0', heldBack: 0 },
    reason: 'timeout exceeded when trying to connect',
  })
  expect(JSON.stringify(lines)).not.toContain('report.test')
})

test('what is no outage is told each time, with its places', () => {
  const { logger, lines } = recorder()
  const report = reportRequests(logger)
  report(new TypeError('a bug'), 'a')
  report(new TypeError('a bug'), 'b')
  expect(lines).toHaveLength(2)
  expect(JSON.stringify(lines[1])).toContain('report.test')
})

test('an incident is told once, another one at once', () => {
  const { logger, lines } = recorder()
  const report = reportIncidents(logger)
  for (let i = 0; i < 10; i++) report(new LogIncident('ROLLBACK', 'less'))
  report(new LogIncident('FORKED', 'other'))
  expect(lines.map(({ err }) => (err as { code: string }).code)).toEqual(['ROLLBACK', 'FORKED'])
})

test('a server that takes over, goes on or stands by is an information of one line', () => {
  const { logger, lines } = recorder()
  const report = reportTurns(logger)
  report({ kind: 'stands-by', size: 3 })
  report({ kind: 'leads', size: 5, stoodByMs: 700 })
  report({ kind: 'works-again', size: 9, stoppedForMs: 40 })
  expect(lines).toMatchObject([
    { level: 30, size: 3, msg: 'another server leads; this one stands by' },
    { level: 30, size: 5, stoodByMs: 700, msg: 'this server leads now: it takes entries' },
    { level: 30, size: 9, stoppedForMs: 40, msg: 'the log takes entries again' },
  ])
})

test('what is wrong with the search tables is told with its places, counted, and an incident', async () => {
  const { logger, lines } = recorder()
  const metrics = createMetrics(() => {
    throw new Error('nobody asks')
  })
  const incidents: LogIncident[] = []
  const report = reportSearch(logger, metrics, (incident) => incidents.push(incident))
  report([
    { sequenceNumber: 17, kind: 'altered', columns: ['actor_id'] },
    { sequenceNumber: 18, kind: 'missing', columns: [] },
    { sequenceNumber: 12, kind: 'damaged', columns: [] },
    { sequenceNumber: 19, kind: 'damaged', columns: [] },
    { sequenceNumber: 257, kind: 'unprovable', columns: [] },
  ])
  report(Array.from({ length: 30 }, (_, n) => ({ sequenceNumber: n + 1, kind: 'missing', columns: [] })))
  expect(incidents.map(({ code }) => code)).toEqual([
    ...['LEAF_MISMATCH', 'LEAF_MISMATCH', 'SEARCH_MISMATCH', 'SEARCH_MISMATCH'],
  ])
  expect(incidents[0]?.message).toMatch(/^rows of the ledger were changed .* sequence number 12, 19$/)
  expect(incidents[1]?.message).toMatch(/^tiles of the tree do not fit .* 256 each, from sequence number 257$/)
  expect(incidents[2]?.message).toContain('17 altered (actor_id), 18 missing')
  expect(incidents[3]?.message).toMatch(/20 missing and 10 more$/)
  expect(lines.map(({ count }) => count)).toEqual([2, 1, 2, 30])
  expect((await metrics.searchMismatches.get()).values[0]?.value).toBe(32)
  expect((await metrics.leafMismatches.get()).values[0]?.value).toBe(2)
})
