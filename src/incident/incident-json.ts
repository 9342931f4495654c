import { formatMicroseconds } from '../../tlog/time.ts'
import type { ListedAlarm } from '../store/alarms.ts'
import type { OpenedIncident } from '../store/opened-incidents.ts'
import type { Contained } from './containment-record.ts'

/** An incident as programs get it. Times are RFC 3339. */
export type ShownIncident = Omit<
  OpenedIncident,
  'evidence' | 'containment' | 'firstSeen' | 'lastSeen' | 'openedAt' | 'closedAt'
> & {
  readonly state: 'open' | 'closed'
  readonly evidence: unknown
  /** Null: nothing was done on its own account. */
  readonly containment: readonly Contained[] | null
  readonly firstSeen: string
  readonly lastSeen: string
  readonly openedAt: string
  readonly closedAt: string | null
}

export function incidentJson(incident: OpenedIncident): ShownIncident {
  const { evidence, containment, firstSeen, lastSeen, openedAt, closedAt } = incident
  return {
    ...incident,
    state: closedAt === null ? 'open' : 'closed',
    evidence: JSON.parse(evidence) as unknown,
    containment: containment === null ? null : (JSON.parse(containment) as readonly Contained[]),
    firstSeen: formatMicroseconds(firstSeen),
    lastSeen: formatMicroseconds(lastSeen),
    openedAt: formatMicroseconds(openedAt),
    closedAt: closedAt === null ? null : formatMicroseconds(closedAt),
  }
}

/** An alarm as programs get it. */
export type ShownAlarm = Omit<ListedAlarm, 'createdAt' | 'settledAt'> & {
  readonly createdAt: string
  readonly settledAt: string | null
}

export function alarmJson(alarm: ListedAlarm): ShownAlarm {
  const { createdAt, settledAt } = alarm
  return {
    ...alarm,
    createdAt: formatMicroseconds(createdAt),
    settledAt: settledAt === null ? null : formatMicroseconds(settledAt),
  }
}
