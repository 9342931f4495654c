import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { isQuorum, parsePolicy, policyBytesMax } from '../../tlog/witness-policy.ts'

type Vectors = {
  valid: { policy: string; evaluations: { cosignedBy: string[]; satisfied: boolean }[] }[]
  invalid: { why: string; policy: string }[]
}

const path = new URL('../vectors/checkpoint/policy.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors
const w1 = 'witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X'

function refusalOf(policy: string | Uint8Array): { code: string; message: string } | undefined {
  try {
    parsePolicy(typeof policy === 'string' ? encodeUtf8(policy) : policy)
    return undefined
  } catch (error) {
    return error as { code: string; message: string }
  }
}

test('there are as many as the vectors say', () => {
  expect([vectors.valid.length, vectors.invalid.length]).toEqual([7, 22])
})

describe('a quorum', () => {
  test.each(vectors.valid)('of policy %#', ({ policy, evaluations }) => {
    const parsed = parsePolicy(encodeUtf8(policy))
    for (const { cosignedBy, satisfied } of evaluations) {
      expect(isQuorum(parsed, new Set(cosignedBy)), cosignedBy.join(' ')).toBe(satisfied)
    }
  })
})

describe('refused', () => {
  test.each(vectors.invalid)('$why', ({ policy }) => {
    expect(refusalOf(policy)).toMatchObject({ code: 'malformed-policy' })
  })

  test.each([
    ['a number of more than one spelling', `witness a ${w1}\ngroup g 01 a\nquorum g\n`, 'line 2'],
    ['a group without a number', `witness a ${w1}\ngroup g\nquorum a\n`, 'line 2'],
    ['a witness without key', 'witness a\nquorum none\n', 'line 1'],
    ['surplus', `witness a ${w1} https://a.example/ more\nquorum a\n`, 'line 1'],
    ['a quorum of two', `witness a ${w1}\nquorum a a\n`, 'line 2'],
    ['a delete character', `witness a ${w1}\nquorum a\u007f\n`, 'control character'],
  ])('%s, with its place', (_, policy, place) => {
    expect(refusalOf(policy)).toMatchObject({ code: 'malformed-policy', message: expect.stringContaining(place) })
  })

  test('what is no UTF-8, or longer than a policy', () => {
    expect(refusalOf(Uint8Array.of(0xff, 0x0a))).toMatchObject({ code: 'malformed-policy' })
    expect(refusalOf(new Uint8Array(policyBytesMax + 1).fill(0x20))).toMatchObject({ code: 'malformed-policy' })
  })
})

test('blanks around, tabs between and comments are no matter', () => {
  const policy = `\t # of our own\n\n  witness\ta ${w1}  https://a.example/\t\n quorum a`
  expect(parsePolicy(encodeUtf8(policy))).toMatchObject({
    ...{ logs: [], witnesses: [{ name: 'a', url: 'https://a.example/' }], groups: [], quorum: 'a' },
  })
})
