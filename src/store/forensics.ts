// What is read of the ledger about an incident, as the auditors' role: of rows that somebody may have changed.
import type { Schema } from './batch.ts'
import { readText } from './row.ts'
import type { Query } from './session.ts'

/** Whom the rows of these entries name as their writers. */
export async function readWritersOf(
  query: Query,
  schema: Schema,
  first: number,
  last: number,
): Promise<readonly string[]> {
  const rows = await query(
    `select distinct writer
     from ${schema.evidence}.audit_logs
     where sequence_number between $1 and $2 and writer is not null
     order by writer`,
    [first, last],
  )
  return rows.map((row) => readText(row, 'writer'))
}
