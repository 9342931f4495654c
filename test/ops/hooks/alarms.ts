import type { Alarm } from '../../../src/ops/hooks/hook.ts'

const incident = {
  id: '01893f9c-3488-7000-8000-000000000001',
  violationType: 'PAYLOAD_CORRUPT',
  key: 'PAYLOAD_CORRUPT@7',
  sequenceNumber: 7,
  detail: 'chain hash from the columns is not current_hash “ü”',
  evidence: { stored: 'aa', computed: 'bb' },
  firstSeen: '2026-01-01T00:00:00.000000Z',
  openedAt: '2026-01-01T00:00:01.000000Z',
  openedBy: 'dendrolog',
  ...{ closedAt: null, closedBy: null, closeReason: null },
}

export const opened: Alarm = {
  id: `${incident.id}_opened`,
  news: 'opened',
  at: incident.openedAt,
  origin: 'test.example/log',
  incident,
}

export const closed: Alarm = {
  ...opened,
  ...{ id: `${incident.id}_closed`, news: 'closed', at: '2026-01-02T00:00:00.000000Z' },
  incident: { ...incident, closedAt: '2026-01-02T00:00:00.000000Z', closedBy: 'local:root', closeReason: 'restored' },
}

export const never: AbortSignal = new AbortController().signal
