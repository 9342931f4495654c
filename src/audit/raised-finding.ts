import type { KnownFinding } from './verifier-state.ts'

/** A finding as incidents are opened of it. */
export type RaisedFinding = {
  readonly violationType: string
  readonly sequenceNumber?: number
  readonly place?: string
  readonly detail: string
  readonly evidence: Readonly<Record<string, unknown>>
  readonly isNew?: boolean
}

export function raisedFinding(
  { key, violationType, sequenceNumber, detail }: KnownFinding,
  evidence: Readonly<Record<string, unknown>>,
): RaisedFinding {
  return { violationType, ...placeIn(key, sequenceNumber), detail, evidence, isNew: true }
}

/** Where an incident of the finding is: at an entry, or where its key says. */
export function placeIn(
  key: string,
  sequenceNumber: number | null | undefined,
): Pick<RaisedFinding, 'sequenceNumber' | 'place'> {
  if (sequenceNumber === null || sequenceNumber === undefined) return { place: key }
  return key.includes(' entries ') ? { sequenceNumber, place: key } : { sequenceNumber }
}
