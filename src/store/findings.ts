import type { Schema } from './batch.ts'
import type { Query } from './session.ts'

/** A finding as it is stored: evidence is JSON without anything that an entry says. */
export type StoredFinding = {
  /** UUID. */
  readonly findingId: string
  readonly code: string
  readonly sequenceNumber: number | null
  readonly detail: string
  readonly evidence: Readonly<Record<string, unknown>>
}

/** `query` is of the verifier's login. */
export async function insertFinding(query: Query, schema: Schema, finding: StoredFinding): Promise<void> {
  await query(
    `insert into ${schema.evidence}.findings (finding_id, code, sequence_number, detail, evidence)
     values ($1, $2, $3, $4, $5)`,
    [finding.findingId, finding.code, finding.sequenceNumber, finding.detail, JSON.stringify(finding.evidence)],
  )
}

/** How far a verifier has come: entries. What was said before stays. */
export async function insertProgress(query: Query, schema: Schema, verifier: string, position: number): Promise<void> {
  await query(
    `insert into ${schema.evidence}.verifier_progress (verifier, position)
     values ($1, $2)
     on conflict do nothing`,
    [verifier, position],
  )
}
