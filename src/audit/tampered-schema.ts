import type { TreeFinding } from './finding.ts'

/**
 * SQLSTATEs of a statement that fits the tables as migrations made them, and not as they are: undefined column, table,
 * schema, function or type; a right that was taken; a value that cannot be cast to what the column's type was.
 */
const tampered = /^(42703|42P01|3F000|42883|42704|42501|42804|42846|22P0[23]|2200[37])$/

/** What the database's refusal says of its schema; undefined where it says nothing: it was away, say. */
export function tamperedSchema(error: unknown): TreeFinding | undefined {
  if (!(error instanceof Error) || !('code' in error) || !tampered.test(String(error.code))) return undefined
  // The server's text names objects; of values only those that are no such value, and those it does not log either.
  const reason = String(error.code).startsWith('2') ? 'holds values that its type cannot have' : error.message
  return { kind: 'SCHEMA_TAMPERED', object: 'tables of the log', reason }
}
