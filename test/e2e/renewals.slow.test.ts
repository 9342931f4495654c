import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { finished, makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { pythonWith } from '../support/python.ts'
import { endAll, type ServerProcess, startServer } from '../support/server-process.ts'
import { startAuthority, type TestAuthority } from '../support/time-stamp-authority.ts'

// A time-stamp authority whose certificate ends two minutes after the first stamp.

const livesMs = 120_000
let folder: string
let dataDir: string
let authority: TestAuthority
let endsMs: number
let server: ServerProcess
let vkey: string
let python: string

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  python = await pythonWith('cryptography==48.0.0', join(folder, 'python'))
  endsMs = Date.now() + livesMs
  authority = await startAuthority({ notAfter: new Date(endsMs) })
  await writeFile(join(folder, 'root.pem'), authority.root)
  await writeFile(join(folder, 'authorities'), `one ${authority.url} root.pem\n`)
  server = await startServer(dataDir, {
    ...{ DENDROLOG_TIME_STAMPS: join(folder, 'authorities'), DENDROLOG_STAMP_SECONDS: '1' },
    ...{ DENDROLOG_STAMP_RENEW_SECONDS: '115', DENDROLOG_VERIFIER: 'false', DENDROLOG_PUBLIC_METRICS: 'true' },
  })
  vkey = ((await (await fetch(`${server.url}/v1/log`)).json()) as { vkey: string }).vkey
}, 120_000)
afterAll(async () => {
  await endAll(dataDir)
  await authority.close()
  await removeFolder(folder)
})

async function metric(line: string): Promise<number | undefined> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found = text.split('\n').find((each) => each.startsWith(`dendrolog_${line} `))
  return found === undefined ? undefined : Number(found.split(' ').at(-1))
}

async function keepEvidence(name: string): Promise<readonly string[]> {
  const headers = { authorization: `Bearer ${server.tokens.auditor}` }
  const file = join(folder, name)
  const bytes = await (await fetch(`${server.url}/v1/entries/1/evidence`, { headers })).arrayBuffer()
  await writeFile(file, Buffer.from(bytes))
  return [file, '--vkey', vkey, '--roots', join(folder, 'root.pem')]
}

async function checkBoth(args: readonly string[]): Promise<{ readonly first: string; readonly second: string }> {
  const [first, second] = await Promise.all([
    run(['check', ...args]),
    finished(spawn(python, [join(import.meta.dirname, '../../deploy/verify.py'), ...args])),
  ])
  expect([first.status, second.status, first.stderr, second.stderr]).toEqual([0, 0, '', ''])
  return { first: first.stdout, second: second.stdout }
}

test('a stamp is stamped again before its certificate ends, and both verifiers take it when that has ended', async () => {
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  expect((await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })).status).toBe(201)
  await until(
    async () => ((await metric('stamped_size{authority="one"}')) ?? 0) >= 1,
    () => server.output().slice(-2_000),
  )
  const once = await keepEvidence('once.evidence')
  // As long as the authority has no other certificate, a new stamp would end no later, and says so.
  await until(
    async () => ((await metric('stamps_end_timestamp_seconds{authority="one"}')) ?? 0) > 0,
    () => server.output().slice(-2_000),
    40_000,
  )
  await authority.renew(new Date(Date.now() + 30 * 86_400_000))
  await until(
    async () => ((await metric('stamps_renewed_total{authority="one"}')) ?? 0) >= 1,
    () => server.output().slice(-2_000),
    60_000,
  )
  const again = await keepEvidence('again.evidence')
  expect(Date.now()).toBeLessThan(endsMs)
  await sleep(endsMs - Date.now() + 1_500)
  const late = await checkBoth(once)
  expect(late.first).toMatch(/its certificates ended 20.*Z, and nobody stamped it again before/)
  expect(late.second).toMatch(/its certificates ended 20.*Z, and nobody stamped it again before/)
  const { first, second } = await checkBoth(again)
  expect(first).toMatch(/existed before 20.*; stamped again 20.*Z by "CN=Test TSA"/)
  expect(second).toMatch(/existed before 20.*; stamped again 20.*Z by 'CN=Test TSA'/)
  for (const said of [first, second]) expect(said).not.toContain('certificates ended')
  const { bundle } = JSON.parse((await run(['check', ...again, '--json'])).stdout) as {
    bundle: { stamps: { renewals: unknown[]; validUntil: string; isTrusted: boolean }[] }
  }
  expect(bundle.stamps[0]).toMatchObject({ isTrusted: true, renewals: [{ subject: 'CN=Test TSA' }] })
  expect(Date.parse(bundle.stamps[0]?.validUntil ?? '')).toBeGreaterThan(Date.now() + 86_400_000)
  expect(await server.stop()).toBe(0)
}, 240_000)
