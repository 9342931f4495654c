import type { Schema } from './batch.ts'
import { type Row, readInteger, readIntegerOrNull, readText, readTextOrNull } from './row.ts'
import type { Query } from './session.ts'

/** What rules look at of an entry, as the ledger holds it: unchecked. Times are microseconds since 1970. */
export type LedgerEntry = {
  readonly sequenceNumber: number
  readonly timestamp: number
  readonly occurredAt: number | null
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly clientIp: string
  readonly writer: string
  /**
   * Of the payload at each path; undefined where it has nothing there, an object or list without what is in it, a text
   * cut to so many characters as were asked for.
   */
  readonly values: readonly unknown[]
}

/**
 * Entries of a range of sequence numbers, both ends included, in order. Payloads stay where they are: what a path leads
 * to is cut out by the database, which unpacks each payload once (`#> '{}'`), and not for each path. Rows that are not there, or hold what no server writes, are left out: somebody who alters
 * one does not stop who reads.
 */
export async function readWatchedEntries(
  query: Query,
  schema: Schema,
  from: number,
  to: number,
  paths: readonly (readonly string[])[],
  charactersMax: number,
): Promise<readonly LedgerEntry[]> {
  const found = paths.map((_, i) => `whole #> $${i + 4}::text[] as value_${i}`)
  const cut = paths.map((_, i) => `, ${cutOf(`value_${i}`)} as value_${i}`)
  const rows = await query(
    `select sequence_number, actor_id, action, resource, client_ip, writer,
       ${microsOf('timestamp')},
       ${microsOf('occurred_at')}
       ${cut.join('')}
     from ${schema.evidence}.audit_logs
     cross join lateral (select payload #> '{}' as whole offset 0) as read
     cross join lateral (select $3::integer as characters_max${found.map((each) => `, ${each}`).join('')} offset 0) as found
     where sequence_number between $1 and $2
     order by sequence_number`,
    [from, to, charactersMax, ...paths.map((path) => [...path])],
  )
  return rows.flatMap((row) => readableEntry(row, paths.length))
}

function microsOf(column: string): string {
  return `case when isfinite(${column}) then (extract(epoch from ${column}) * 1000000)::bigint end as ${column}_us`
}

function cutOf(value: string): string {
  return `case jsonb_typeof(${value})
    when 'string' then to_jsonb(left(${value} #>> '{}', characters_max))::text
    when 'object' then '{}'
    when 'array' then '[]'
    else ${value}::text
  end`
}

function readableEntry(row: Row, values: number): readonly LedgerEntry[] {
  try {
    return [entryOf(row, values)]
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return []
    throw error
  }
}

function entryOf(row: Row, values: number): LedgerEntry {
  return {
    sequenceNumber: readInteger(row, 'sequence_number'),
    timestamp: readInteger(row, 'timestamp_us'),
    occurredAt: readIntegerOrNull(row, 'occurred_at_us'),
    actorId: readText(row, 'actor_id'),
    action: readText(row, 'action'),
    resource: readText(row, 'resource'),
    clientIp: readText(row, 'client_ip'),
    writer: readText(row, 'writer'),
    values: Array.from({ length: values }, (_, i) => parseValue(readTextOrNull(row, `value_${i}`))),
  }
}

function parseValue(json: string | null): unknown {
  return json === null ? undefined : (JSON.parse(json) as unknown)
}
