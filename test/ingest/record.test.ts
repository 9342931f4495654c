import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TlogError } from '../../tlog/errors.ts'
import { submissionOf } from '../support/log.ts'
import { asStored, instant, json, valid } from './arbitrary-submission.ts'
import { memberAtFault } from './reference-validator.ts'

/** How a submission is changed; most changes make it none. */
const oddities: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    null,
    true,
    0,
    -1,
    0.5,
    2 ** 53,
    '',
    '\0',
    '\ud800',
    [],
    {},
    'dendrolog.',
    'dendrolog.x',
    '::',
    '1.2.3.04',
  ),
  fc.constantFrom('1970-01-01T00:00:00Z', '2023-02-29T00:00:00Z', '2024-01-01T00:00:60Z', '2254-12-31T23:59:59-15:59'),
  fc.constantFrom('fe80::1%1', '::ffff:1.2.3.4', '1::2::3', '01890a5d-ac96-874b-bcce-b302099a8057'),
  fc.constantFrom({ 'dendrolog:enc': 1 }, { a: ['\0'] }, { a: { '\ud800': 1 } }, { '\0': 1 }),
  fc.integer({ min: 99, max: 257 }).map((length) => '\u{1f332}'.repeat(length)),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.ipV6(),
  instant.chain((at) =>
    fc
      .nat(at.length - 1)
      .chain((i) => fc.constantFrom('0', '9', ':', 'Z', '+').map((c) => at.slice(0, i) + c + at.slice(i + 1))),
  ),
  json,
)
const member = fc.constantFrom(
  'id',
  'actorId',
  'action',
  'resource',
  'payload',
  'clientIp',
  'occurredAt',
  'lamport',
  'ID',
  'x~/',
)
const mutated = fc.tuple(valid, member, oddities).map(([submission, name, value]) => ({ ...submission, [name]: value }))

function faultOf(submission: unknown): string | null {
  try {
    submissionOf(JSON.stringify(submission))
    return null
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    const [, name = ''] = (error.pointer ?? '').split('/')
    return name.replaceAll('~1', '/').replaceAll('~0', '~')
  }
}

test('the reader refuses what the table of the design refuses, at the same member', () => {
  fc.assert(
    fc.property(fc.oneof({ weight: 1, arbitrary: valid }, { weight: 5, arbitrary: mutated }), (submission) => {
      expect(faultOf(submission)).toBe(memberAtFault(asStored(submission)))
    }),
    { numRuns: 1_500 },
  )
})

test('one byte of a record changed makes a record, or a refusal, and nothing else', () => {
  const bytes = fc.tuple(valid, fc.nat(), fc.nat(255)).map(([submission, at, byte]) => {
    const record = Buffer.from(JSON.stringify(submission))
    record[at % record.length] = byte
    return record
  })
  fc.assert(
    fc.property(bytes, (record) => {
      try {
        submissionOf(record.toString('latin1'))
      } catch (error) {
        expect(error).toBeInstanceOf(TlogError)
      }
    }),
    { numRuns: 1_000 },
  )
})
