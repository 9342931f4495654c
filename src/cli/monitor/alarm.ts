import type { Alarm } from '../../ops/hooks/hook.ts'
import type { KnownFinding } from './state.ts'

/** What hooks are told of a finding: the same each time. The evidence stays in its file. */
export function alarmOf(origin: string, finding: KnownFinding): Alarm {
  const { id, key, violationType, sequenceNumber, detail, evidence, firstSeenMs } = finding
  const at = new Date(firstSeenMs).toISOString()
  return {
    ...{ id: `${id}_opened`, news: 'opened', at, origin },
    incident: {
      ...{ id, violationType, key, sequenceNumber, detail },
      evidence: evidence === null ? {} : { ...evidence },
      ...{ firstSeen: at, openedAt: at, openedBy: 'dendrolog monitor' },
      ...{ closedAt: null, closedBy: null, closeReason: null },
    },
  }
}
