import type { KnownFinding } from './verifier-state.ts'

/** A finding as incidents are opened of it. */
export type RaisedFinding = {
  readonly violationType: string
  readonly sequenceNumber?: number
  readonly place?: string
  readonly detail: string
  readonly evidence: Readonly<Record<string, unknown>>
}

export function raisedFinding(
  { key, violationType, sequenceNumber, detail }: KnownFinding,
  evidence: Readonly<Record<string, unknown>>,
): RaisedFinding {
  const place = sequenceNumber === null ? { place: key } : { sequenceNumber }
  return { violationType, ...place, detail, evidence }
}
