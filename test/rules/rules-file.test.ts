import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { RulesError } from '../../src/rules/json-reader.ts'
import { parseRules } from '../../src/rules/rules-file.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { readDeployed } from './events.ts'

const rule = { name: 'r', match: { action: 'a' } }

/** Pointer of what is wrong; text is taken as it is. */
function refused(file: unknown): string | undefined {
  try {
    parseRules(encodeUtf8(typeof file === 'string' ? file : JSON.stringify(file)))
  } catch (error) {
    if (error instanceof RulesError) return error.pointer ?? 'no JSON'
    throw error
  }
  throw new Error('it was taken')
}

const refusedRule = (changes: object): string | undefined => refused({ rules: [{ ...rule, ...changes }] })

test('what nobody asked for is refused with its place', () => {
  expect(refused({ rules: [rule], more: 1 })).toBe('/more')
  expect(refusedRule({ matches: {} })).toBe('/rules/0/matches')
  expect(refusedRule({ match: { actor: 'a' } })).toBe('/rules/0/match/actor')
  expect(refusedRule({ match: { payload: { '/a~b': 'x' } } })).toBe('/rules/0/match/payload/~1a~0b')
  expect(refusedRule({ threshold: { count: 2, withinSeconds: 1, of: [] } })).toBe('/rules/0/threshold/of')
  expect(refusedRule({ match: { payload: { '/a': { exists: true, b: 1 } } } })).toBe('/rules/0/match/payload/~1a/b')
})

test('what is missing, of another kind or out of bounds is refused with its place', () => {
  expect(refused([])).toBe('')
  expect(refused({})).toBe('')
  expect(refused({ rules: [] })).toBe('/rules')
  expect(refused({ rules: [rule, rule] })).toBe('/rules/1')
  expect(refused({ time: 'now', rules: [rule] })).toBe('/time')
  expect(refusedRule({ name: 'A rule' })).toBe('/rules/0/name')
  expect(refusedRule({ severity: 'high' })).toBe('/rules/0/severity')
  expect(refusedRule({ match: { action: 7 } })).toBe('/rules/0/match/action')
  expect(refusedRule({ match: { action: [] } })).toBe('/rules/0/match/action')
  expect(refusedRule({ match: { action: ['a', 'b\\'] } })).toBe('/rules/0/match/action/1')
  expect(refusedRule({ match: { payload: { '/a': [['b']] } } })).toBe('/rules/0/match/payload/~1a/0')
  expect(refusedRule({ match: { payload: { a: 'b' } } })).toBe('/rules/0/match/payload/a')
  expect(refusedRule({ match: { payload: { '/-1': 'b' } } })).toBe('/rules/0/match/payload/~1-1')
  expect(refusedRule({ not: {} })).toBe('/rules/0/not')
  expect(refusedRule({ threshold: { count: 1, withinSeconds: 1 } })).toBe('/rules/0/threshold/count')
  expect(refusedRule({ threshold: { count: 2, withinSeconds: 0.5 } })).toBe('/rules/0/threshold/withinSeconds')
  expect(refusedRule({ threshold: { count: 2, withinSeconds: 1, by: ['id'] } })).toBe('/rules/0/threshold/by/0')
  expect(refusedRule({ firstSeen: ['action', 'action'] })).toBe('/rules/0/firstSeen')
  expect(refusedRule({ firstSeen: [] })).toBe('/rules/0/firstSeen')
  expect(refusedRule({ firstSeen: 'action', threshold: { count: 2, withinSeconds: 1 } })).toBe('/rules/0/firstSeen')
  const payload = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`/m${i}`, 1]))
  expect(refusedRule({ match: { payload } })).toBe('/rules/0')
  const many = Array.from({ length: 65 }, (_, i) => ({ name: `r${i}`, match: { payload: { [`/m${i}`]: 1 } } }))
  expect(refused({ rules: many })).toBe('/rules')
})

test('JSON is read strictly', () => {
  expect(refused('{"rules":')).toBe('no JSON')
  expect(refused('{"rules":[{"name":"r","name":"s","match":{}}]}')).toBe('/rules/0/name')
  expect(refused(' '.repeat(1_048_577))).toBe('no JSON')
})

test('every file of deploy/ can be used', async () => {
  for (const name of await readdir(new URL('../../deploy/watch-rules/', import.meta.url))) {
    expect(parseRules(encodeUtf8(JSON.stringify(await readDeployed(name)))).rules.length).toBeGreaterThan(0)
  }
})
