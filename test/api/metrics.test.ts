import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

/** The value of a line of the text format. */
async function valueFrom(line: string): Promise<number | undefined> {
  const { text } = await api.get('/metrics', 'admin')
  const found = text.split('\n').find((each) => each.startsWith(`${line} `))
  return found === undefined ? undefined : Number(found.slice(line.length))
}

test('are for administrators, unless everybody may read them', async () => {
  expect((await api.get('/metrics')).status).toBe(401)
  expect((await api.get('/metrics', 'auditor')).status).toBe(403)
  const { status, headers } = await api.get('/metrics', 'admin')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const open = await openTestApi({ server: { publicMetrics: true } })
  try {
    expect((await open.get('/metrics')).status).toBe(200)
  } finally {
    await open.close()
  }
})

test('tell how the log stands', async () => {
  const names = [
    'pending_entries',
    'integrated_size',
    'published_size',
    'checkpoint_timestamp_seconds',
    'searched_size',
  ]
  expect(await Promise.all(names.map((name) => valueFrom(`dendrolog_${name}`)))).toEqual([1, 2, 3, 4, 5])
  expect(await valueFrom('dendrolog_ready')).toBe(1)
  expect(await valueFrom('dendrolog_search_checked_size')).toBe(4)
  expect(await valueFrom('dendrolog_search_mismatches_total')).toBe(0)
  expect(await valueFrom('dendrolog_leaf_mismatches_total')).toBe(0)
  expect(await valueFrom('dendrolog_tls_certificate_expires_timestamp_seconds')).toBeUndefined()
  expect(await valueFrom('dendrolog_leader')).toBe(1)
})

test('count submissions by kind, and refusals by code', async () => {
  await api.post(submissionWith())
  await api.post([submissionWith(), submissionWith()])
  await api.post('{')
  expect(await valueFrom('dendrolog_submit_seconds_count{kind="single"}')).toBe(2)
  expect(await valueFrom('dendrolog_submit_seconds_count{kind="batch"}')).toBe(1)
  expect(await valueFrom('dendrolog_problems_total{code="malformed-json"}')).toBe(1)
})

test('say nothing of what was submitted', async () => {
  await api.post(submissionWith({ actorId: 'nobody-but-me', payload: { secret: 'told-you' } }))
  const { text } = await api.get('/metrics', 'admin')
  expect(text).not.toMatch(/nobody-but-me|told-you/)
})
