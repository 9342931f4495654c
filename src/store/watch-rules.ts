import type { Schema } from './batch.ts'
import { readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/** Where the watch rules stand. All queries are of the login that keeps state. */
export type RuleState = {
  /** Matches were told up to this entry. */
  readonly told: number
  /** `state` is of the entries up to this one; never above `told`. */
  readonly position: number
  /** What rules remember; empty: nothing yet. */
  readonly state: string
}

export async function readRuleState(query: Query, schema: Schema): Promise<RuleState | undefined> {
  const [row] = await query(`select told, position, state from ${schema.state}.watch_rules`)
  if (row === undefined) return undefined
  return { told: readInteger(row, 'told'), position: readInteger(row, 'position'), state: readText(row, 'state') }
}

/** Begins behind an entry, unless somebody did already. */
export async function beginRuleState(query: Query, schema: Schema, told: number): Promise<void> {
  await query(
    `insert into ${schema.state}.watch_rules (told, position, state)
     values ($1, $1, '')
     on conflict do nothing`,
    [told],
  )
}

/** Goes from `before` on to `told`. False where somebody else went on from there. */
export async function advanceToldRules(query: Query, schema: Schema, before: number, told: number): Promise<boolean> {
  const rows = await query(
    `update ${schema.state}.watch_rules
     set told = $2, updated_at = clock_timestamp()
     where told = $1
     returning told`,
    [before, told],
  )
  return rows.length > 0
}

/** As `advanceToldRules`, with what rules remember then. */
export async function saveRuleState(
  query: Query,
  schema: Schema,
  before: number,
  told: number,
  state: string,
): Promise<boolean> {
  const rows = await query(
    `update ${schema.state}.watch_rules
     set told = $2, position = $2, state = $3, updated_at = clock_timestamp()
     where told = $1
     returning told`,
    [before, told, state],
  )
  return rows.length > 0
}
