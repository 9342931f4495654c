// A sequential verifier as somebody would write it who has nothing of this project but DESIGN.md sections 3 and 5: the
// columns of the table and the formula of the chain. It imports nothing of ours on purpose.
import { createHash } from 'node:crypto'
import type { Client } from 'pg'

export type Row = {
  readonly sequence_number: string
  readonly actor_id: string
  readonly action: string
  readonly resource: string
  readonly payload: unknown
  readonly previous_hash: string
  readonly current_hash: string
}

const pageRows = 500

/** Rows of the ledger in the order of the chain, a page at a time, as node-postgres parses them. */
export async function* readRows(client: Client): AsyncGenerator<Row> {
  let after = '0'
  for (;;) {
    const { rows } = await client.query<Row>(
      `select sequence_number, actor_id, action, resource, payload, previous_hash, current_hash
       from security.audit_logs
       where sequence_number > $1
       order by sequence_number
       limit ${pageRows}`,
      [after],
    )
    yield* rows
    if (rows.length < pageRows) return
    after = rows.at(-1)?.sequence_number ?? after
  }
}

/** Recomputes the chain from its first entry on. Returns how many rows there are; throws at the first that is wrong. */
export async function verifyChain(client: Client): Promise<number> {
  let count = 0
  let previous = '0'.repeat(64)
  for await (const row of readRows(client)) {
    count++
    if (row.sequence_number !== String(count)) throw new Error(`gap: got ${row.sequence_number}, want ${count}`)
    if (row.previous_hash !== previous) throw new Error(`row ${count}: previous_hash is not of the row before`)
    previous = hashRow(row)
    if (row.current_hash !== previous) throw new Error(`row ${count}: current_hash is not of its columns`)
  }
  return count
}

export function hashRow(row: Omit<Row, 'current_hash'>): string {
  const payload = JSON.stringify(sortMembers(row.payload))
  const text = [row.sequence_number, row.actor_id, row.action, row.resource, payload, row.previous_hash].join('||')
  return createHash('sha256').update(text).digest('hex')
}

function sortMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortMembers)
  if (value === null || typeof value !== 'object') return value
  const sorted: Record<string, unknown> = {}
  for (const name of Object.keys(value).sort()) sorted[name] = sortMembers((value as Record<string, unknown>)[name])
  return sorted
}
