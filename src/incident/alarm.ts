import { formatMicroseconds } from '../../tlog/time.ts'
import type { Alarm, AlarmIncident } from '../ops/hooks/hook.ts'
import type { News } from '../store/alarms.ts'
import type { NewIncident, OpenedIncident } from '../store/opened-incidents.ts'

/** What hooks are told of an incident: the same each time, whatever was counted meanwhile. */
export function alarmOf(origin: string, incident: OpenedIncident, news: News): Alarm {
  // What opened it says nothing of its closing, which may have come before the alarm was delivered.
  const told = news === 'opened' ? { ...incident, ...notClosed } : incident
  return { id: `${incident.id}_${news}`, news, at: timeOf(incident, news), origin, incident: alarmIncidentOf(told) }
}

function timeOf({ openedAt, closedAt, containment }: OpenedIncident, news: News): string {
  if (news === 'closed') return formatMicroseconds(closedAt ?? openedAt)
  const done = news === 'opened' || containment === null ? [] : (JSON.parse(containment) as readonly { at: string }[])
  return done.at(-1)?.at ?? formatMicroseconds(openedAt)
}

/** The alarm of an incident that is not stored, because the database is away. */
export function alarmOfUnstored(origin: string, incident: NewIncident): Alarm {
  const { firstSeen } = incident
  return alarmOf(origin, { ...incident, lastSeen: firstSeen, count: 1, openedAt: firstSeen, ...notClosed }, 'opened')
}

const notClosed = { closedAt: null, closedBy: null, closeReason: null, containment: null }

function alarmIncidentOf(incident: OpenedIncident): AlarmIncident {
  const { id, violationType, key, sequenceNumber, detail, evidence, openedBy, closedBy, closeReason, containment } =
    incident
  return {
    ...{ id, violationType, key, sequenceNumber, detail },
    evidence: JSON.parse(evidence) as Record<string, unknown>,
    firstSeen: formatMicroseconds(incident.firstSeen),
    openedAt: formatMicroseconds(incident.openedAt),
    openedBy,
    closedAt: incident.closedAt === null ? null : formatMicroseconds(incident.closedAt),
    ...{ closedBy, closeReason },
    ...(containment === null ? {} : { containment: JSON.parse(containment) as unknown[] }),
  }
}
