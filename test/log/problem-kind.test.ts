import { expect, test } from 'vitest'
import { LogIncident, NotLeader, Unavailable } from '../../src/log/incident.ts'
import { isOutOfRoom, publicProblem, readProblem } from '../../src/log/problem-kind.ts'
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

test('reads go elsewhere with an incident, and where nobody knows for seconds what others publish', () => {
  expect([undefined, new NotLeader(), new Unavailable('no')].map((problem) => readProblem(problem, 100))).toEqual([
    ...[undefined, undefined, undefined],
  ])
  expect(readProblem(new LogIncident('FORKED', 'two roots'), 0)).toBe('two roots')
  expect(readProblem(new NotLeader(), 6_000)).toContain('could not be followed')
})

test('a full disk is found in an error or its causes: of PostgreSQL by its SQLSTATE, of the system by its code', () => {
  const database = errorOf('could not extend file', { code: '53100', severity: 'ERROR' })
  expect(isOutOfRoom(database)).toBe(true)
  expect(isOutOfRoom(new LogIncident('OUTCOME_UNKNOWN', 'commit', { cause: database }))).toBe(true)
  expect(isOutOfRoom(errorOf('write', { code: 'ENOSPC' }))).toBe(true)
  expect(isOutOfRoom(errorOf('too many connections', { code: '53300', severity: 'FATAL' }))).toBe(false)
  expect(isOutOfRoom('ENOSPC')).toBe(false)
})
