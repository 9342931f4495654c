import { expect, test } from 'vitest'
import { describeError } from '../../src/ops/describe-error.ts'
import { openPool } from '../../src/store/session.ts'
import { makeDatabase } from '../support/database.ts'
import { logged } from '../support/logged.ts'

const secret = 'payload-of-somebody'

test.each([
  ['a data exception', 'select $1::uuid', [secret]],
  [
    'a failing row',
    'insert into security_state.tokens (token_hash, name, role) values (decode(repeat($1, 64), $2), $3, $3)',
    ['a', 'hex', secret],
  ],
  ['a JSON text', 'select $1::jsonb', [`{"a":${secret}}`]],
  [
    'a value that is too long',
    'insert into security.audit_logs (sequence_number, action) values (1, repeat($1, 99))',
    [secret],
  ],
])('what PostgreSQL says of %s is logged without the value', async (_, sql, values) => {
  const database = await makeDatabase()
  const admin = openPool(database.admin, 1, 10_000)
  try {
    const error: unknown = await admin.query(sql, values).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    const text = logged(new Error('commit failed', { cause: error }))
    expect(error).toBeInstanceOf(Error)
    expect(text).not.toContain(secret)
    expect(text).toContain('commit failed')
    expect(text).toMatch(/"code":"[0-9A-Z]{5}"/)
  } finally {
    await admin.close()
    await database.drop()
  }
})

test('what JSON.parse quotes is not logged', () => {
  const error: unknown = (() => {
    try {
      return JSON.parse(`{"a":${secret}}`) as unknown
    } catch (reason) {
      return reason
    }
  })()
  expect(logged(error)).not.toContain(secret)
})

test('members of an error and values that are none are not logged', () => {
  expect(logged(Object.assign(new Error('x'), { body: secret }))).not.toContain(secret)
  expect(logged(secret)).not.toContain(secret)
})

test('type, message, code, places and causes are logged', () => {
  const error = new TypeError('outer', { cause: Object.assign(new Error('inner'), { code: 'ECONNREFUSED' }) })
  expect(describeError(error)).toMatchObject({
    ...{ type: 'TypeError', message: 'outer', stack: expect.stringContaining('describe-error.test') as string },
    cause: { message: 'inner', code: 'ECONNREFUSED' },
  })
})

test('causes that go round end', () => {
  const error = new Error('round')
  error.cause = error
  expect(JSON.stringify(describeError(error)).match(/round/g)).toHaveLength(6)
})
