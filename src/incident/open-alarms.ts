// Alarms and heartbeat, wired to log and metrics.

import { Heartbeat, type HeartbeatOptions } from '../ops/heartbeat.ts'
import type { Hook } from '../ops/hooks/hook.ts'
import type { Logger } from '../ops/logger.ts'
import type { Metrics } from '../ops/metrics.ts'
import type { SignAct } from '../store/acts.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { AlarmSender, type AlarmTiming } from './alarm-sender.ts'
import { Alarms, type AlarmsOptions } from './alarms.ts'
import { IncidentOffice, type IncidentOfficeOptions } from './incident-office.ts'

export type OpenAlarmsOptions = {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  readonly origin: string
  readonly hooks: readonly Hook[]
  readonly signAct: SignAct
  /** A new UUIDv7 as text. */
  readonly makeId: () => string
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** Who finds: `dendrolog`, where it is the log itself. */
  readonly by: string
  readonly onHandedOver?: NonNullable<AlarmsOptions['onHandedOver']>
  readonly onClosed?: NonNullable<IncidentOfficeOptions['onClosed']>
  readonly timing?: Partial<AlarmTiming>
}

export type OpenedAlarms = { readonly alarms: Alarms; readonly office: IncidentOffice }

type HookMetrics = Pick<
  Metrics,
  'hookAttempts' | 'hookPending' | 'hookDeadLetters' | 'hookDeliveredAt' | 'openIncidents'
>

/** What raises alarms and what closes incidents, on one queue. */
export function openAlarms(options: OpenAlarmsOptions, logger: Logger, metrics: HookMetrics): OpenedAlarms {
  const { hooks, nowMs } = options
  const office = new IncidentOffice({ ...options, hooks: hooks.map(({ name }) => name) })
  const noteAttempt = (hook: string, outcome: string, reason: string | undefined): void => {
    metrics.hookAttempts.inc({ hook, outcome })
    if (outcome === 'delivered') metrics.hookDeliveredAt.set({ hook }, nowMs() / 1_000)
    if (outcome === 'failed') logger.warn({ hook, reason }, 'an alarm was not delivered and is tried again')
    if (outcome === 'dead') logger.error({ hook, reason }, 'an alarm was given up: it is a dead letter now')
  }
  const sender = new AlarmSender({
    ...options,
    onAttempt: noteAttempt,
    onCounted: (counts, open) => {
      for (const [kind, count] of Object.entries(open)) metrics.openIncidents.set({ kind }, count)
      for (const { hook, pending, dead } of counts) {
        metrics.hookPending.set({ hook }, pending)
        metrics.hookDeadLetters.set({ hook }, dead)
      }
    },
    onFailed: (error) => logger.warn({ err: error }, 'the queue of alarms cannot be used yet'),
  })
  const alarms = new Alarms({
    ...{ ...options, office, sender, timing: {} },
    onOpened: ({ violationType, sequenceNumber, detail }, { id, isNew }) => {
      if (isNew) logger.error({ incident: id, violationType, sequenceNumber, detail }, 'an incident was opened')
    },
    onSentUnstored: (_, sent) => {
      for (const { hook, error } of sent) noteAttempt(hook, error === undefined ? 'delivered' : 'failed', error)
    },
    onFailed: (error) => logger.warn({ err: error }, 'incidents could not be opened yet'),
    onDropped: ({ violationType, sequenceNumber, detail }) =>
      logger.error({ violationType, sequenceNumber, detail }, 'no incident was opened of this finding'),
  })
  return { alarms, office }
}

/** A heartbeat whose failures are told. */
export function openHeartbeat(
  { url, style }: { readonly url: string; readonly style: HeartbeatOptions['style'] },
  nowMs: () => number,
  logger: Logger,
  { heartbeats, heartbeatSentAt }: Pick<Metrics, 'heartbeats' | 'heartbeatSentAt'>,
): Heartbeat {
  return new Heartbeat({
    ...{ url: new URL(url), style },
    onSent: (kind) => {
      heartbeats.inc({ kind, outcome: 'sent' })
      heartbeatSentAt.set({ kind }, nowMs() / 1_000)
    },
    onFailed: (kind, reason) => {
      heartbeats.inc({ kind, outcome: 'failed' })
      logger.warn({ kind, reason }, 'the dead-man service could not be told')
    },
  })
}
