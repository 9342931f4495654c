import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'

// Each role at each route, and each method at each path.

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
  await api.post([submissionWith(), submissionWith()], {}, '?wait=published')
})
afterAll(() => api.close())

const event = JSON.stringify(submissionWith())
const json = { 'content-type': 'application/json' }

type Route = { readonly method: string; readonly path: string; readonly who: string; readonly allow?: string }

function get(who: string, ...paths: readonly string[]): Route[] {
  return paths.map((path) => ({ method: 'GET', path, who }))
}

const routes: readonly Route[] = [
  ...get('everybody', '/healthz', '/readyz', '/checkpoint', '/v1/log', '/v1/checkpoints', '/v1/entries/1/proof'),
  ...get('everybody', '/v1/proofs/inclusion?index=0&size=1', '/v1/proofs/consistency?from=1&to=2', '/tile/0/000.p/2'),
  ...get('everybody', '/ct/v1/get-sth', '/ct/v1/get-sth-consistency?first=1&second=2', '/ct/v1/get-roots'),
  ...get('auditor', '/v1/entries', '/v1/entries/1', '/tile/entries/000.p/2', '/ct/v1/get-entries?start=0&end=1'),
  ...get('auditor', '/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=1'),
  ...get('admin', '/metrics'),
  ...get('auditor or admin', '/v1/incidents', '/v1/incidents/dead-letters', '/v1/verifier'),
  { method: 'POST', path: '/v1/entries', who: 'writer' },
  { method: 'POST', path: '/v1/entries?wait=integrated', who: 'writer' },
  { method: 'POST', path: '/add', who: 'writer' },
]
const roles = ['nobody', 'a stranger', 'writer', 'auditor', 'admin'] as const

function tokenOf(role: (typeof roles)[number]): Record<string, string> {
  if (role === 'nobody') return {}
  return { authorization: `Bearer ${role === 'a stranger' ? 'x'.repeat(43) : api.tokens[role]}` }
}

function wanted({ method, who }: Route, role: string): number {
  if (who === 'everybody' || who.split(' or ').includes(role)) return method === 'POST' ? 2 : 200
  return role === 'nobody' || role === 'a stranger' ? 401 : 403
}

const cells = routes.flatMap((route) => roles.map((role) => ({ ...route, role })))

test.each(cells)('$method $path, which is for $who, asked by $role', async (cell) => {
  const { method, path, role } = cell
  const {
    status,
    json: problem,
    text,
  } = await read(
    api.app.request(path, {
      method,
      headers: { ...json, ...tokenOf(role) },
      ...(method === 'POST' ? { body: event } : {}),
    }),
  )
  const want = wanted(cell, role)
  expect(want === 2 ? Math.floor(status / 100) : status).toBe(want)
  if (want === 401) expect(problem.code).toBe('unauthenticated')
  if (want === 403) expect(problem.code).toBe('forbidden')
  for (const token of Object.values(api.tokens)) expect(text.includes(token)).toBe(false)
})

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY']
const allowed: readonly (readonly [string, string])[] = [
  ...['/healthz', '/readyz', '/metrics', '/v1/entries/1', '/v1/entries/stream', '/v1/incidents', '/v1/verifier'].map(
    (path) => [path, 'GET, HEAD'] as const,
  ),
  ...['/checkpoint', '/v1/log', '/v1/checkpoints', '/v1/checkpoints/stream', '/v1/entries/1/proof'].map(
    (path) => [path, 'GET, HEAD, OPTIONS'] as const,
  ),
  ...['/v1/proofs/inclusion', '/v1/proofs/consistency', '/tile/0/000.p/2', '/ct/v1/get-sth', '/ct/v1/get-roots'].map(
    (path) => [path, 'GET, HEAD, OPTIONS'] as const,
  ),
  ...['/ct/v1/get-entries', '/ct/v1/get-entry-and-proof'].map((path) => [path, 'GET, HEAD'] as const),
  ['/v1/entries', 'GET, HEAD, POST'],
  ['/add', 'POST'],
  ['/v1/incidents/x', 'GET, HEAD'],
  ['/v1/incidents/x/close', 'POST'],
]
const refused = allowed.flatMap(([path, allow]) =>
  methods.filter((method) => !allow.split(', ').includes(method)).map((method) => ({ method, path, allow })),
)

test.each(refused)('$method $path is 405, and Allow says $allow', async ({ method, path, allow }) => {
  const { status, headers, json: problem } = await read(api.app.request(path, { method, headers: tokenOf('admin') }))
  expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow })
  expect(problem.code).toBe('method-not-allowed')
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
