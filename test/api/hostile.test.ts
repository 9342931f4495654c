import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { entriesBefore, findUnrefused, hostileRequests } from '../support/hostile-requests.ts'

// The same requests go to the real binary in test/hostile.

let api: TestApi
let port: number
beforeAll(async () => {
  api = await openTestApi()
  await api.post(
    Array.from({ length: entriesBefore }, () => submissionWith()),
    {},
    '?wait=published',
  )
  port = (await api.listen()).port
})
afterAll(() => api.close())

test(`each of ${hostileRequests.length} hostile requests is refused, as a problem that says where and nothing of the inside`, async () => {
  expect(await findUnrefused(port, api.tokens)).toEqual([])
})

test('they added nothing to the tree, and none of them was unexpected', () => {
  expect(api.log.health.integratedSize).toBe(entriesBefore)
  expect(api.unexpected).toEqual([])
})
