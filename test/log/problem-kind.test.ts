import { expect, test } from 'vitest'
import { LogIncident, Unavailable } from '../../src/log/incident.ts'
import { publicProblem } from '../../src/log/problem-kind.ts'
import { TlogError } from '../../tlog/errors.ts'

function errorOf(message: string, members: Record<string, unknown> = {}): Error {
  return Object.assign(new Error(message), members)
}

test.each([
  [errorOf("ENOENT: no such file, open '/srv/secret/signer.json'", { code: 'ENOENT' }), 'INTERNAL'],
  [errorOf('connect ECONNREFUSED secret.host:5432', { code: 'ECONNREFUSED' }), 'DATABASE'],
  [errorOf('getaddrinfo ENOTFOUND secret.host', { code: 'ENOTFOUND' }), 'DATABASE'],
  [errorOf('relation "secret" does not exist', { code: '42P01', severity: 'ERROR' }), 'DATABASE'],
  [errorOf('Connection terminated unexpectedly by secret'), 'DATABASE'],
  [new TlogError('root-mismatch', 'secret'), 'CHECK_FAILED'],
  ['secret', 'INTERNAL'],
])('%s is told as %s, without its words', (error, code) => {
  const problem = publicProblem(error)
  expect(problem.code).toBe(code)
  expect(problem.detail).not.toMatch(/secret|\/srv/)
})

test('incidents and what passes by itself keep their words, which are ours', () => {
  expect(publicProblem(new LogIncident('FORKED', 'two roots'))).toEqual({ code: 'FORKED', detail: 'two roots' })
  expect(publicProblem(new Unavailable('starting'))).toEqual({ code: 'UNAVAILABLE', detail: 'starting' })
})
