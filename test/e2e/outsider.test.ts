import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminConfig, endAll, type ServerProcess, startServer, waitUntilReady } from '../support/server-process.ts'
import { readRows, verifyChain } from './outsider.ts'
import { expectWholeLog, withClient } from './whole-log.ts'

const events = join(import.meta.dirname, '..', '..', 'deploy', 'sample-events', 'cloudtrail.ndjson.gz')

/** Payloads as JSON texts: what JSON.parse would make of them is what node-postgres must give back. */
const nastyPayloads = [
  '{}',
  '{"":""}',
  '{"":{"":[{"":null}]}}',
  '{"b":1,"a":2,"10":"ten","9":"nine","1":"one","00":"no index","-1":"none","4294967294":"last","4294967295":"name"}',
  '{"numbers":[0,-0,-0.0,1e21,1E-7,5e-324,1.7976931348623157e308,9007199254740991,0.1,100000000000000000000,1.50,-1]}',
  '{"number":0.10000000000000001,"whole":1.0,"exponent":12e2}',
  '{"escapes":"\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\\\u001f\\u007f\\u2028\\u2029"}',
  '{"unicode":"ünï \u{1f332} \u0301e é 中 \\ud83c\\udf32","\u{1f332}":"tree","\ufb33":"after it in UTF-16"}',
  '{"é":1,"e\u0301":2,"\u200b":3," ":4,"A":5,"a":6}',
  '{"constructor":1,"toString":{"valueOf":[]},"hasOwnProperty":null}',
  '{"separator":"a||b||c","empty":[],"nested":[[[]],{}],"null":null,"true":true,"false":false}',
  `{"deep":${'['.repeat(63)}${']'.repeat(63)}}`,
  `${'{"d":'.repeat(63)}{}${'}'.repeat(63)}`,
  `{"long":"${'x'.repeat(100_000)}","${'n'.repeat(1_000)}":1}`,
  '{"date":"2026-01-02T03:04:05Z","Infinity":"NaN"}',
]

let dataDir: string
let server: ServerProcess

beforeAll(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'dendrolog-outsider-')), 'data')
  server = await startServer(dataDir)
  await waitUntilReady(server)
})

afterAll(async () => {
  expect(await server.stop()).toBe(0)
  await endAll(dataDir)
  await rm(join(dataDir, '..'), { recursive: true, force: true })
})

async function post(body: string): Promise<{ accepted: number; results: unknown[] }> {
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' }
  const response = await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })
  expect(response.status).toBe(200)
  return (await response.json()) as { accepted: number; results: unknown[] }
}

test('a verifier that knows the columns and the formula finds real events and nasty payloads in order', async () => {
  const real = gunzipSync(await readFile(events)).toString('utf8')
  expect(await post(real)).toMatchObject({ accepted: 1_450, results: [] })
  const nasty = nastyPayloads.map((payload) => `{"actorId":"a||b","action":"c","resource":"ü","payload":${payload}}`)
  expect(await post(nasty.join('\n'))).toMatchObject({ accepted: nasty.length, results: [] })
  const payloads = [...real.trim().split('\n'), ...nasty].map(
    (line) => (JSON.parse(line) as { payload: unknown }).payload,
  )
  await withClient(await adminConfig(dataDir), async (client) => {
    expect(await verifyChain(client)).toBe(payloads.length)
    let i = 0
    for await (const row of readRows(client))
      expect(withoutMinusZero(row.payload)).toEqual(withoutMinusZero(payloads[i++]))
  })
  expect(await expectWholeLog(await adminConfig(dataDir), server.url)).toBe(payloads.length)
})

test('the verifier is no rubber stamp: one payload that a superuser changed is found where it is', async () => {
  await withClient(await adminConfig(dataDir), async (client) => {
    await client.query('begin')
    // What nothing can keep a superuser from. Undone: the log stays as it is.
    await client.query(
      `insert into security_guard.permits (backend_pid, txid, reason)
       values (pg_backend_pid(), txid_current(), 'test')`,
    )
    await client.query('alter table security.audit_logs disable trigger all')
    await client.query('alter table security.audit_logs_p0000000000000001 disable trigger all')
    await client.query(
      `update security.audit_logs
       set payload = payload || '{"added": true}'
       where sequence_number = 700`,
    )
    await expect(verifyChain(client)).rejects.toThrow('row 700: current_hash is not of its columns')
    await client.query('rollback')
    expect(await verifyChain(client)).toBeGreaterThan(1_450)
  })
})

test('ids that were made now are known when they come again, those the server made too', async () => {
  const stamp = Date.now().toString(16).padStart(12, '0')
  const lines = Array.from({ length: 300 }, (_, n) => {
    const id = `${stamp.slice(0, 8)}-${stamp.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`
    return `{"id":"${id}","actorId":"a","action":"b","resource":"c","payload":{"n":${n}}}`
  })
  expect(await post(lines.join('\n'))).toMatchObject({ accepted: 300, results: [] })
  expect(await post(lines.join('\n'))).toMatchObject({ accepted: 0, duplicates: 300, quarantined: 0 })
  const changed = lines.map((line) => line.replace('"actorId":"a"', '"actorId":"z"')).join('\n')
  expect(await post(changed)).toMatchObject({ accepted: 0, duplicates: 0, quarantined: 300 })
  const anonymous = '{"actorId":"a","action":"b","resource":"c","payload":{}}'
  expect(await post(anonymous)).toMatchObject({ accepted: 1 })
  const made = await withClient(await adminConfig(dataDir), async (client) => {
    const { rows } = await client.query(
      'select event_id from security.audit_logs order by sequence_number desc limit 1',
    )
    return String(rows[0].event_id)
  })
  expect(await post(`{"id":"${made}",${anonymous.slice(1)}`)).toMatchObject({ accepted: 0, duplicates: 1 })
})

/** toEqual tells -0 from 0; the log keeps 0. */
function withoutMinusZero(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown
}
