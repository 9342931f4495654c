import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { TlogError } from '../../tlog/errors.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkOwnAct, type OwnActEntry } from '../../tlog/own-act.ts'
import { readAct } from '../client/examples/act.ts'
import { until } from '../support/log.ts'
import { adminConfig, endAll, type ServerProcess, startServer } from '../support/server-process.ts'
import { expectWholeLog } from './whole-log.ts'

let dataDir = ''

beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'dendrolog-acts-')), 'data')
})

afterEach(async () => {
  await endAll(dataDir)
  await rm(join(dataDir, '..'), { recursive: true, force: true })
})

async function read(server: ServerProcess, path: string): Promise<Response> {
  return fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.tokens.auditor}` } })
}

async function submit(server: ServerProcess, record: object): Promise<number> {
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  return (await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body: JSON.stringify(record) })).status
}

async function readSize(server: ServerProcess): Promise<number> {
  return ((await (await fetch(`${server.url}/v1/log`)).json()) as { treeSize: number }).treeSize
}

test('who read, what was refused and which setting changed stands in the log, signed; nothing of it before', async () => {
  const first = await startServer(dataDir)
  const record = { actorId: 'alice', action: 'document.read', resource: 'doc/1', payload: {} }
  expect(await submit(first, record)).toBe(201)
  expect(await submit(first, { ...record, action: 'dendrolog.token.made' })).toBe(400)
  for (const path of [
    '/v1/entries/1',
    '/v1/entries/1',
    '/v1/entries',
    '/tile/entries/000.p/1',
    '/ct/v1/get-entries?start=0&end=0',
  ]) {
    expect((await read(first, path)).status).toBe(200)
  }
  expect(await readSize(first)).toBe(1)
  expect(await first.stop()).toBe(0)
  const second = await startServer(dataDir, { DENDROLOG_RECORDS_MAX: '1000' })
  expect(await submit(second, record)).toBe(201)
  await until(
    async () => (await readSize(second)) === 5,
    () => second.output(),
  )
  expect(await expectWholeLog(await adminConfig(dataDir), second.url)).toBe(5)
  const { vkey } = (await (await fetch(`${second.url}/v1/log`)).json()) as { vkey: string }
  const verifier = textVerifier(parseVkey(vkey), nodeSignatureCheck)
  const entries = await Promise.all(
    [2, 3, 4, 5].map(async (n) => (await (await read(second, `/v1/entries/${n}`)).json()) as OwnActEntry),
  )
  // What was submitted, and what the start has to tell, come in either order.
  const own = entries.filter(({ action }) => action !== record.action)
  expect(own.map((entry) => checkOwnAct(entry, verifier))).toMatchObject([
    {
      ...{ action: 'dendrolog.entries.read', actorId: 'token:auditor', resource: 'entries' },
      detail: {
        requests: { '/v1/entries/:n': 2, '/v1/entries': 1, '/tile/entries/*': 1, '/ct/v1/get-entries': 1 },
      },
    },
    {
      ...{ action: 'dendrolog.records.quarantined', actorId: 'token:writer', resource: 'quarantine' },
      detail: { records: { 'malformed-submission': 1 } },
    },
    {
      ...{ action: 'dendrolog.settings.changed', actorId: 'dendrolog' },
      detail: { changes: [{ name: 'DENDROLOG_RECORDS_MAX', from: '65536', to: '1000' }] },
    },
  ])
  const auditor = { url: second.url, vkey, token: second.tokens.auditor }
  expect(await readAct(auditor, String(own[0]?.id))).toMatchObject({ action: 'dendrolog.entries.read' })
  await expect(readAct(auditor, 1)).rejects.toThrow(TlogError)
  expect(await second.stop()).toBe(0)
})
