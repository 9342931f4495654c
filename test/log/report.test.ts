import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { LogIncident } from '../../src/log/incident.ts'
import { reportIncidents, reportRequests } from '../../src/log/report.ts'
import { createLogger, type Logger } from '../../src/ops/logger.ts'
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
