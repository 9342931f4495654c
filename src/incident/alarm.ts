import { formatMicroseconds } from '../../tlog/time.ts'
import type { Alarm, AlarmIncident } from '../ops/hooks/hook.ts'
import type { News } from '../store/alarms.ts'
import type { NewIncident, OpenedIncident } from '../store/opened-incidents.ts'

/** What hooks are told of an incident: the same each time, whatever was counted meanwhile. */
export function alarmOf(origin: string, incident: OpenedIncident, news: News): Alarm {
  // What opened it says nothing of its closing, which may have come before the alarm was delivered.
  const told = news === 'opened' ? { ...incident, ...notClosed } : incident
  const at = news === 'opened' ? incident.openedAt : (incident.closedAt ?? incident.openedAt)
  return { id: `${incident.id}_${news}`, news, at: formatMicroseconds(at), origin, incident: alarmIncidentOf(told) }
}

/** The alarm of an incident that is not stored, because the database is away. */
export function alarmOfUnstored(origin: string, incident: NewIncident): Alarm {
  const { firstSeen } = incident
  return alarmOf(origin, { ...incident, lastSeen: firstSeen, count: 1, openedAt: firstSeen, ...notClosed }, 'opened')
}

const notClosed = { closedAt: null, closedBy: null, closeReason: null }

function alarmIncidentOf(incident: OpenedIncident): AlarmIncident {
  const { id, violationType, key, sequenceNumber, detail, evidence, openedBy, closedBy, closeReason } = incident
  return {
    ...{ id, violationType, key, sequenceNumber, detail },
    evidence: JSON.parse(evidence) as Record<string, unknown>,
    firstSeen: formatMicroseconds(incident.firstSeen),
    openedAt: formatMicroseconds(incident.openedAt),
    openedBy,
    closedAt: incident.closedAt === null ? null : formatMicroseconds(incident.closedAt),
    ...{ closedBy, closeReason },
  }
}
