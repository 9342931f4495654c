import { afterAll, beforeAll, expect, test } from 'vitest'
import type { VerifierStanding } from '../../api/server.ts'
import { openTestApi, type TestApi } from '../support/api.ts'

const checkedMs = 1_767_225_600_000
const well: VerifierStanding = {
  ...{ runsHere: true, failure: null, size: 300, verifiedSize: 300, findings: 0, withinHours: 24 },
  ...{ checkedMs, coveredMs: checkedMs - 60_000, savedMs: checkedMs - 0.25, ranges: 1, rangesDone: 1 },
}

let standing = well
let api: TestApi
beforeAll(async () => {
  api = await openTestApi({ server: { readVerifier: async () => standing } })
})
afterAll(() => api.close())

async function told(members: Partial<VerifierStanding>): Promise<Readonly<Record<string, unknown>>> {
  standing = { ...well, ...members }
  const { status, headers, json } = await api.get('/v1/verifier', 'auditor')
  expect([status, headers.get('cache-control')]).toEqual([200, 'no-store'])
  return json
}

test('it is told how far the verifier is, and when', async () => {
  expect(await told({ verifiedSize: 256 })).toEqual({
    ...{ isSecure: true, findings: 0, runsHere: true, failure: null, withinHours: 24 },
    ...{ size: 300, verifiedSize: 256, lag: 44, ranges: 1, rangesDone: 1 },
    checkedAt: '2026-01-01T00:00:00.000000Z',
    coveredAt: '2025-12-31T23:59:00.000000Z',
    savedAt: '2025-12-31T23:59:59.999000Z',
  })
})

test('a log that was rolled back has no lag below 0', async () => {
  expect(await told({ size: 100, findings: 1 })).toMatchObject({ isSecure: false, findings: 1, lag: 0 })
})

test('who could not check says neither that all is well nor that something is wrong', async () => {
  expect(await told({ failure: 'the database is away' })).toMatchObject({
    isSecure: null,
    failure: 'the database is away',
  })
  expect(await told({ checkedMs: null, savedMs: null })).toMatchObject({ isSecure: null, checkedAt: null })
  const nothing = { size: null, verifiedSize: null, findings: null, checkedMs: null, coveredMs: null, savedMs: null }
  expect(await told(nothing)).toMatchObject({ isSecure: null, findings: null, size: null, lag: null, coveredAt: null })
  expect(await told({ failure: 'the database is away', findings: 2 })).toMatchObject({ isSecure: false, findings: 2 })
})

test('of a verifier elsewhere is told what it left in the data folder', async () => {
  const left = { runsHere: false, size: null, checkedMs: null }
  expect(await told(left)).toMatchObject({ isSecure: true, runsHere: false, verifiedSize: 300, size: null, lag: null })
})
