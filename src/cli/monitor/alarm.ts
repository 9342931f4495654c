import type { Alarm, AlarmIncident } from '../../ops/hooks/hook.ts'
import type { KnownFinding, KnownMatch } from './state.ts'

type Known = KnownFinding | KnownMatch

/** What hooks are told of a finding or a match: the same each time. The evidence of a finding stays in its file. */
export function alarmOf(origin: string, known: Known): Alarm {
  const { id, firstSeenMs } = known
  return { id: `${id}_opened`, news: 'opened', at: isoOf(firstSeenMs), origin, incident: incidentOf(known) }
}

/** What they are told when it is forgotten. */
export function closingOf(origin: string, known: Known, atMs: number): Alarm {
  const closed = { closedAt: isoOf(atMs), closedBy: openedBy, closeReason: 'forgotten (monitor --forget)' }
  const incident = { ...incidentOf(known), ...closed }
  return { id: `${known.id}_closed`, news: 'closed', at: isoOf(atMs), origin, incident }
}

const openedBy = 'dendrolog monitor'

function incidentOf({ id, key, violationType, sequenceNumber, detail, evidence, firstSeenMs }: Known): AlarmIncident {
  const at = isoOf(firstSeenMs)
  return {
    ...{ id, violationType, key, sequenceNumber, detail, evidence: { ...evidence } },
    ...{ firstSeen: at, openedAt: at, openedBy },
    ...{ closedAt: null, closedBy: null, closeReason: null },
  }
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
