import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compilePatterns, literalStart } from '../../src/rules/pattern.ts'

const fits = (pattern: string, text: string): boolean | undefined => compilePatterns([pattern])?.(text)

test('* stands for any characters, ? for one, and a backslash takes that away', () => {
  expect(
    ['iam.*', 'iam.?reate*', '*', '*Key', 'i*m*K*y', 'iam.CreateKey'].map((p) => fits(p, 'iam.CreateKey')),
  ).toEqual(Array(6).fill(true))
  expect(['iam', 'iam.?', '?', '', 'IAM.*', '*key', 'iam.CreateKey?'].map((p) => fits(p, 'iam.CreateKey'))).toEqual(
    Array(7).fill(false),
  )
  expect([fits('a\\*b', 'a*b'), fits('a\\*b', 'axb'), fits('\\\\?', '\\x'), fits('\\?', '?')]).toEqual([
    ...[true, false, true, true],
  ])
  expect([fits('', ''), fits('*', ''), fits('**', ''), fits('?', '')]).toEqual([true, true, true, false])
})

test('? is one character where UTF-16 has two units for it', () => {
  expect([fits('?', '\u{1f332}'), fits('??', '\u{1f332}'), fits('*?x', '\u{1f332}x')]).toEqual([true, false, true])
})

test('a pattern that ends in half of an escape is none', () => {
  expect(compilePatterns(['a', 'b\\'])).toBeUndefined()
})

const sources: Readonly<Record<string, string>> = { '*': '.*', '?': '.', '.': '\\.' }

test('patterns fit as the same regular expressions do', () => {
  const pieces = fc.constantFrom('a', 'b', '*', '?', '\\*', '.', '')
  const texts = fc.array(fc.constantFrom('a', 'b', '*', '.', '\n'), { maxLength: 12 }).map((all) => all.join(''))
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 10 }), texts, (pattern, text) => {
      const source = pattern.map((piece) => sources[piece] ?? piece).join('')
      expect(fits(pattern.join(''), text)).toBe(new RegExp(`^(?:${source})$`, 's').test(text))
    }),
    { numRuns: 2_000 },
  )
})

test('a list of patterns fits where one of them does', () => {
  const test = compilePatterns(['a', 'b*', '?c'])
  expect(['a', 'bx', 'xc', 'c', 'ab'].map((text) => test?.(text))).toEqual([true, true, true, false, false])
})

test('a pattern of many stars ends on a long text that nearly fits', () => {
  expect(fits(`${'*a'.repeat(250)}b`, 'a'.repeat(4_096))).toBe(false)
})

test('what texts of a pattern begin with is known', () => {
  expect(['dendrolog.*', 'a\\*b*', '*a', 'abc', ''].map(literalStart)).toEqual(['dendrolog.', 'a*b', '', 'abc', ''])
})
