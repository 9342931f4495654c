import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asStored, valid } from '../ingest/arbitrary-submission.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

test('what is accepted reads back with equal members', async () => {
  const reading = fc.asyncProperty(valid, async (submission) => {
    const { status, json: posted } = await api.post(submission, {}, '?wait=integrated')
    expect(status).toBe(201)
    const { sequenceNumber } = posted.entry as { sequenceNumber: number }
    const { json: entry } = await api.get(`/v1/entries/${sequenceNumber}`, 'auditor')
    expect(entry).toEqual(posted.entry)
    const { occurredAt, ...rest } = submission
    expect(entry).toMatchObject(asStored(rest) as object)
    expect(entry.payload).toEqual(asStored(submission.payload))
    expect(entry.occurredAt).toBe(occurredAt?.replace('Z', '000Z') ?? null)
  })
  await fc.assert(reading, { numRuns: 100 })
})

test('a record after one with a huge payload is read with a buffer of ordinary size', async () => {
  const huge = submissionWith({ payload: { a: 'x'.repeat(1_000_000) } })
  expect((await api.post([huge, submissionWith(), huge, submissionWith()])).json).toMatchObject({ accepted: 4 })
})
