import { expect, test } from 'vitest'
import { LoginWatch } from '../../src/store/logins.ts'
import { openPool } from '../../src/store/session.ts'
import { makeDatabase } from '../support/database.ts'

test('however many ask at once, each login is looked at once, and a change is told once', async () => {
  const database = await makeDatabase()
  const pool = openPool(database.as('app_state_role'), 1, 10_000)
  const told: (readonly string[])[] = []
  let looks = 0
  const query: typeof pool.query = (text, values) => {
    looks += 1
    return pool.query(text, values)
  }
  const state = { name: 'state', query, role: 'app_state_role', schema: 'security_state' }
  const other = { name: 'reader', query, role: 'auditor_reader_role', schema: 'security' }
  try {
    const watch = new LoginWatch([state, other], (problems) => told.push(problems))
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => watch.failing()))
    expect(new Set(answers.map((names) => names.join()))).toEqual(new Set(['reader']))
    expect(looks).toBe(2)
    expect(told).toEqual([[expect.stringContaining('reader: app_state_role is not auditor_reader_role')]])
  } finally {
    await pool.close()
    await database.drop()
  }
})
