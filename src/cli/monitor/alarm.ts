import type { Alarm, AlarmIncident } from '../../ops/hooks/hook.ts'
import type { Closing, KnownFinding, KnownMatch } from './state.ts'

type Known = KnownFinding | KnownMatch

/** What hooks are told of a finding or a match: the same each time. The evidence of a finding stays in its file. */
export function alarmOf(origin: string, known: Known): Alarm {
  const { id, firstSeenMs } = known
  return { id: `${id}_opened`, news: 'opened', at: isoOf(firstSeenMs), origin, incident: incidentOf(known) }
}

/** What they are told when it is forgotten. */
export function closedAlarmOf(origin: string, closing: Closing): Alarm {
  const at = isoOf(closing.closedMs)
  const closed = { closedAt: at, closedBy: openedBy, closeReason: 'forgotten (monitor --forget)' }
  return { id: `${closing.id}_closed`, news: 'closed', at, origin, incident: { ...incidentOf(closing), ...closed } }
}

/** Of what hooks were told; whoever does not know that it began is not told that it is over. */
export function closingsOf(all: readonly Known[], closedMs: number): readonly Closing[] {
  return all
    .filter(({ told }) => told.length > 0)
    .map((known) => {
      const evidence = { ...known.evidence }
      return { ...known, evidence, closedMs, untold: known.told, told: [], attempts: 0, triedMs: 0 }
    })
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
