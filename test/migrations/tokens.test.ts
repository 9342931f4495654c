import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeDatabase } from '../support/database.ts'
import { connect, outcomeUndone } from './ledger.ts'

const file = join(import.meta.dirname, '..', '..', 'migrations', '0015_tokens.sql')
const unique = '23505'
const check = '23514'

function token(role: string, name: string, more = '', values = ''): string {
  return `insert into security_state.tokens (token_hash, name, role${more})
    values (sha256(convert_to(gen_random_uuid()::text, 'UTF8')), '${name}', '${role}'${values})`
}

test('0015 keeps the newest of the tokens of a name, and gives all of them ids', async () => {
  const database = await makeDatabase()
  try {
    const admin = await connect(database.admin)
    await admin.query('begin')
    await admin.query(`alter table security_state.tokens drop column id, drop column scopes, drop column created_by,
      drop column rate_requests, drop column rate_entries, drop constraint tokens_name_check`)
    await admin.query('drop index security_state.tokens_name_key')
    for (const day of ['1', '2']) {
      for (const role of ['writer', 'auditor']) {
        await admin.query(token(role, role, ', created_at', `, '2026-01-0${day}T00:00:00Z'`))
      }
    }
    const sql = await readFile(file, 'utf8')
    await admin.query(sql.replaceAll('{{schema}}', 'security').replaceAll('{{prefix}}', ''))
    const { rows } = await admin.query(
      `select name, extract(day from created_at at time zone 'UTC')::int as day, id::text, scopes, created_by
       from security_state.tokens order by name`,
    )
    const id = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(rows).toEqual([
      { name: 'auditor', day: 2, id, scopes: null, created_by: null },
      { name: 'writer', day: 2, id, scopes: null, created_by: null },
    ])
    await admin.query('rollback')
  } finally {
    await database.drop()
  }
})

test('the table itself refuses what tokens never are', async () => {
  const database = await makeDatabase()
  try {
    const client = await connect(database.as('app_state_role'))
    await client.query(token('writer', 'gone', ', revoked_at', ', clock_timestamp()'))
    await client.query(token('auditor', 'old', ', revoked_at', ', clock_timestamp()'))
    await client.query(token('auditor', 'here'))
    const outcomes = []
    for (const sql of [
      token('writer', 'Gone'),
      token('auditor', 'gone'),
      token('admin', 'HERE'),
      token('auditor', 'a b'),
      token('auditor', 'x', ', scopes', ", '{}'"),
      token('auditor', 'x', ', rate_entries', ', -1'),
      token('auditor', 'old'),
    ]) {
      outcomes.push(await outcomeUndone(client, sql))
    }
    expect(outcomes).toEqual([unique, unique, unique, check, check, check, 'ok'])
  } finally {
    await database.drop()
  }
})
