import { createHash } from 'node:crypto'
import { storableText } from '../ops/storable-text.ts'
import type { NewIncident } from '../store/opened-incidents.ts'

/** What a verifier reports, as far as an incident is about it: a violation with its place and its evidence. */
export type IncidentFinding = {
  /** Capital letters, digits and `_`: `PAYLOAD_CORRUPT`. Rules of those who are told key on it. */
  readonly violationType: string
  /** Where it is about an entry. */
  readonly sequenceNumber?: number | undefined
  /** Where the place is another thing than the entry, in a few words that stay the same: `tile 1/7`. */
  readonly place?: string | undefined
  /** For people. */
  readonly detail: string
  /** JSON without payloads. */
  readonly evidence: Readonly<Record<string, unknown>>
  /** Nobody was told of it before, by a memory outside of the database: hooks are told of it, whatever that says. */
  readonly isNew?: boolean
}

type BoundedFinding = Omit<NewIncident, 'id' | 'firstSeen' | 'openedBy'>

const detailCharactersMax = 4_000
/** Of JSON text. What has more is told by its hash, and stays where it was found. */
const evidenceBytesMax = 32_768

const placeCharactersMax = 150

/** Type and place: what is found again in the next round is the same. */
export function keyOf({ violationType, sequenceNumber, place }: IncidentFinding): string {
  const where = place === undefined ? sequenceNumber : storableText(place, placeCharactersMax)
  return where === undefined ? violationType : `${violationType}@${where}`
}

/** The key for findings of a type that has too many open incidents already. */
export function overflowKeyOf({ violationType }: Pick<IncidentFinding, 'violationType'>): string {
  return `${violationType}@more`
}

/** Whether an incident of this key is about the finding. */
export function isAbout(key: string, finding: IncidentFinding): boolean {
  return key === keyOf(finding) || key === overflowKeyOf(finding)
}

/** Bounded, and text that a database takes. */
function boundFinding(finding: IncidentFinding): BoundedFinding {
  const { violationType, sequenceNumber = null, detail, evidence } = finding
  const text = JSON.stringify(evidence)
  const bytes = Buffer.byteLength(text)
  const sha256 = createHash('sha256').update(text).digest('hex')
  return {
    ...{ violationType, key: keyOf(finding), sequenceNumber },
    detail: storableText(detail, detailCharactersMax),
    evidence: bytes <= evidenceBytesMax ? text : JSON.stringify({ tooLong: { bytes, sha256 } }),
  }
}

export type DraftOptions = {
  /** A new UUIDv7 as text. */
  readonly makeId: () => string
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

/** What a finding would be, stored or not: its id is that of its alarms. `by`: the identity of who found it. */
export function draftIncident(finding: IncidentFinding, by: string, { makeId, nowMs }: DraftOptions): NewIncident {
  return { id: makeId(), ...boundFinding(finding), firstSeen: Math.floor(nowMs() * 1_000), openedBy: by }
}

/** In place of a finding whose type has too many open incidents. */
export function overflowOf(finding: IncidentFinding, openMax: number): IncidentFinding {
  const { violationType, sequenceNumber, detail } = finding
  const first = { ...(sequenceNumber === undefined ? {} : { sequenceNumber }), detail }
  return {
    violationType,
    detail: `${openMax} incidents of this type are open: further places count here, the first of them: ${detail}`,
    evidence: { openMax, first },
  }
}

/** Codes of what stops a log (`LogIncident`) that are no violations: weather, a clock, another server, or what came of one. */
const noViolations: readonly string[] = ['CLOCK_SKEW', 'OUTCOME_UNKNOWN', 'LOCKED', 'SEARCH_MISMATCH', 'CONTAINED']

/** What stopped a log, or what was found wrong in it while it runs. */
type LogStop = { readonly code: string; readonly message: string; readonly sequenceNumber?: number | undefined }

/** What stopped the log at a checkpoint, as a finding; undefined where it is no violation. */
export function findingOfStop(
  { code, message, sequenceNumber }: LogStop,
  { publishedSize, integratedSize }: { readonly publishedSize: number; readonly integratedSize: number },
): IncidentFinding | undefined {
  if (noViolations.includes(code)) return undefined
  return { violationType: code, sequenceNumber, detail: message, evidence: { publishedSize, integratedSize } }
}
