import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loginRoles } from '../../src/store/roles.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import {
  appendOnly,
  connect,
  connectAsOwner,
  denied,
  evidenceRows,
  evidenceTables,
  firstPartitions,
  headRow,
  laterPartition,
  ledgerRow,
  outcomeUndone,
  updateOf,
} from './ledger.ts'

let database: TestDatabase

// Row triggers say nothing where there are no rows: every table and every partition gets one.
beforeAll(async () => {
  database = await makeDatabase()
  const owner = await connectAsOwner(database.admin)
  await owner.query('select security.ensure_partitions(1)')
  await owner.query(headRow(0, null))
  for (const row of Object.values(evidenceRows)) await owner.query(row)
  await owner.query(ledgerRow(65_537))
  await owner.query(ledgerRow(131_073))
})

afterAll(() => database.drop())

const changes = ['update', 'delete', 'truncate', 'truncate cascade', 'truncate only'] as const

function statement(change: (typeof changes)[number], table: string): string {
  if (change === 'update') return updateOf(table)
  if (change === 'delete') return `delete from security.${table}`
  if (change === 'truncate only') return `truncate ${table === 'audit_logs' ? '' : 'only '}security.${table}`
  return `truncate security.${table}${change === 'truncate' ? '' : ' cascade'}`
}

async function outcomes(client: Client, table: string): Promise<Record<string, string>> {
  const result: Record<string, string> = {}
  for (const change of changes) result[change] = await outcomeUndone(client, statement(change, table))
  return result
}

const refused = Object.fromEntries(changes.map((change) => [change, appendOnly]))
const allDenied = Object.fromEntries(changes.map((change) => [change, denied]))
// A plain TRUNCATE of a table that a foreign key points to fails before its triggers run.
const referenced = { ...refused, truncate: '0A000', 'truncate only': '0A000' }

describe.each([...evidenceTables, ...firstPartitions, laterPartition])('%s', (table) => {
  const wanted = table === 'tree_heads' ? referenced : refused

  test('the owner cannot change or remove rows', async () => {
    expect(await outcomes(await connectAsOwner(database.admin), table)).toEqual(wanted)
  })

  test('a superuser cannot by accident', async () => {
    expect(await outcomes(await connect(database.admin), table)).toEqual(wanted)
  })

  test('a session that calls itself a replica cannot either', async () => {
    const admin = await connect(database.admin)
    await admin.query('set session_replication_role = replica')
    expect(await outcomes(admin, table)).toEqual(wanted)
  })

  test('no login may', async () => {
    for (const role of loginRoles) {
      expect([role, await outcomes(await connect(database.as(role)), table)]).toEqual([role, allDenied])
    }
  })
})

test('an insert cannot turn into an update', async () => {
  const owner = await connectAsOwner(database.admin)
  const upsert = `${evidenceRows.entry_ids} on conflict (event_id) do update set sequence_number = 2`
  expect(await outcomeUndone(owner, upsert)).toBe(appendOnly)
})

test('rows of the ledger cannot move to another partition', async () => {
  const owner = await connectAsOwner(database.admin)
  expect(await outcomeUndone(owner, 'update security.audit_logs set sequence_number = sequence_number + 65536')).toBe(
    appendOnly,
  )
})
