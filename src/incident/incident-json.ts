import { formatMicroseconds } from '../../tlog/time.ts'
import type { ListedAlarm } from '../store/alarms.ts'
import type { ListedIncident, OpenedIncident } from '../store/opened-incidents.ts'
import type { Contained } from './containment-record.ts'

/** An incident of a list as programs get it. Times are RFC 3339. */
export type ShownListedIncident = Omit<ListedIncident, 'firstSeen' | 'lastSeen' | 'openedAt' | 'closedAt'> & {
  readonly state: 'open' | 'closed'
  readonly firstSeen: string
  readonly lastSeen: string
  readonly openedAt: string
  readonly closedAt: string | null
}

/** The whole of it. */
export type ShownIncident = ShownListedIncident & {
  readonly evidence: unknown
  /** Null: nothing was done on its own account. */
  readonly containment: readonly Contained[] | null
}

export function incidentJson({ evidence, containment, ...incident }: OpenedIncident): ShownIncident {
  return {
    ...listedIncidentJson(incident),
    evidence: JSON.parse(evidence) as unknown,
    containment: containment === null ? null : (JSON.parse(containment) as readonly Contained[]),
  }
}

export function listedIncidentJson(incident: ListedIncident): ShownListedIncident {
  const { firstSeen, lastSeen, openedAt, closedAt } = incident
  return {
    ...incident,
    state: closedAt === null ? 'open' : 'closed',
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
