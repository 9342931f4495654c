import { expect, test } from 'vitest'
import { urgencyOf } from '../../../src/ops/hooks/hook.ts'
import { opened } from './alarms.ts'

test('a violation is of the highest severity, and a match of a watch rule of its own', () => {
  const urgency = (violationType: string, severity?: unknown): unknown =>
    urgencyOf({ ...opened.incident, violationType, evidence: severity === undefined ? {} : { severity } })
  expect(urgency('PAYLOAD_CORRUPT', 'info')).toEqual({ severity: 'critical', priority: 1 })
  expect(urgency('WATCH_R', 'error')).toEqual({ severity: 'error', priority: 2 })
  expect(urgency('WATCH_R', 'info')).toEqual({ severity: 'info', priority: 4 })
  expect([urgency('WATCH_R'), urgency('WATCH_R', 'toString')]).toEqual([
    { severity: 'critical', priority: 1 },
    { severity: 'critical', priority: 1 },
  ])
})
