import fc from 'fast-check'
import { newId } from '../support/api.ts'

/** Text that strict JSON takes: well-formed, without U+0000. */
export const text = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'binary', minLength, maxLength }).filter((value) => !value.includes('\0') && value.isWellFormed())

export const json: fc.Arbitrary<unknown> = fc
  .jsonValue({ maxDepth: 4, stringUnit: 'binary' })
  .filter(
    (value) => !/\\u0000|"__proto__"|dendrolog:enc/.test(JSON.stringify(value)) && JSON.stringify(value).isWellFormed(),
  )

const payload = fc.dictionary(
  fc
    .oneof(text(0, 8), fc.nat({ max: 2 ** 32 }).map(String))
    .filter((name) => name !== '__proto__' && name !== 'dendrolog:enc'),
  json,
  { maxKeys: 8, noNullPrototype: true },
)

export const instant: fc.Arbitrary<string> = fc
  .date({ min: new Date(0), max: new Date(Date.UTC(2254, 11, 31)), noInvalidDate: true })
  .map((date) => date.toISOString())

export const valid = fc.record(
  {
    id: fc.constant(0).map(() => newId()),
    actorId: text(1, 60),
    action: text(1, 40).filter((value) => !value.startsWith('dendrolog.')),
    resource: text(1, 60),
    payload,
    clientIp: fc.oneof(fc.ipV4(), fc.ipV6()),
    occurredAt: instant,
    lamport: fc.maxSafeNat(),
  },
  { requiredKeys: ['actorId', 'action', 'resource', 'payload'] },
)

/** Minus zero is the one thing that changes: it becomes 0. */
export function asStored(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown
}
