import { afterAll, beforeAll, expect, test } from 'vitest'
import { createApp } from '../../api/app.ts'
import { openLogClient } from '../../src/client/log-client.ts'
import { checkOnce } from '../../src/client/monitor.ts'
import { type Answer, newId, openTestApi, read, submissionWith, type TestApi } from '../support/api.ts'
import { type RunningLog, until, untilIncident } from '../support/log.ts'

// A server that stands by and never looks at the database by itself, but when it began: all that it knows of later
// entries it has looked up because it was asked.

let leader: TestApi
let standby: RunningLog
let app: ReturnType<typeof createApp>
beforeAll(async () => {
  leader = await openTestApi({ log: { standsBy: true } })
  standby = await leader.test.begin({ standsBy: true, timing: { standbyMs: 3_600_000 } })
  await until(
    () => standby.log.health.code === 'NOT_LEADER',
    () => String(standby.log.health.problem),
  )
  app = createApp({ ...leader.server, log: standby.log })
})
afterAll(() => leader.close())

const headers = (): Record<string, string> => ({ authorization: `Bearer ${leader.tokens.auditor}` })
const ask = (path: string): Promise<Answer> => read(app.request(path, { headers: headers() }))

/** An event that the leader has signed and answered, and the standby has not seen. */
async function receive(): Promise<{ readonly id: string; readonly size: number }> {
  const id = newId()
  const { status, json } = await leader.post(submissionWith({ id }))
  expect(status).toBe(201)
  const { inclusionProof } = json as { inclusionProof: { treeSize: number } }
  expect(standby.log.published.treeSize).toBeLessThan(inclusionProof.treeSize)
  return { id, size: inclusionProof.treeSize }
}

test.each<[string, (size: number, id: string) => string]>([
  ['an inclusion proof', (size) => `/v1/proofs/inclusion?index=${size - 1}&size=${size}`],
  ['a consistency proof', (size) => `/v1/proofs/consistency?from=1&to=${size}`],
  ['a tile', (size) => `/tile/0/000.p/${size}`],
  ['a bundle', (size) => `/tile/entries/000.p/${size}`],
  ['an entry by number', (size) => `/v1/entries/${size}`],
  ['an entry by id', (_, id) => `/v1/entries/${id}`],
  ['the proof of an entry', (_, id) => `/v1/entries/${id}/proof`],
  ['get-sth-consistency', (size) => `/ct/v1/get-sth-consistency?first=1&second=${size}`],
  ['get-entries', (size) => `/ct/v1/get-entries?start=${size - 1}&end=${size - 1}`],
  ['get-entry-and-proof', (size) => `/ct/v1/get-entry-and-proof?leaf_index=${size - 1}&tree_size=${size}`],
])('%s of what another server has just answered is served', async (_, pathOf) => {
  const { id, size } = await receive()
  const { status, text } = await ask(pathOf(size, id))
  expect({ status, text: status === 200 ? '' : text }).toEqual({ status: 200, text: '' })
  expect(standby.log.published.treeSize).toBe(size)
})

test('a hash of a leaf that is not searched yet is 503, not 404', async () => {
  const { size } = await receive()
  const { json } = await ask(`/v1/entries/${size}/proof`)
  const next = await receive()
  const hash = encodeURIComponent(String(json.leafHash))
  const { status } = await ask(`/ct/v1/get-proof-by-hash?hash=${hash}&tree_size=${next.size}`)
  expect([200, 503]).toContain(status)
})

test('an entry that is durable and under no checkpoint yet is waited for', async () => {
  const { size } = await receive()
  const answer = await leader.post(submissionWith(), {}, '?wait=integrated')
  expect(answer.status).toBe(201)
  const answering = ask(`/v1/entries/${size + 1}`)
  await leader.log.waitForCheckpoint(size + 1)
  // The standby looks only where it is asked.
  expect((await ask(`/tile/0/000.p/${size + 1}`)).status).toBe(200)
  expect((await answering).status).toBe(200)
})

test.each(['/v1/checkpoints/stream', '/v1/entries/stream'])(
  '%s goes on after the Last-Event-ID of another server',
  async (path) => {
    const { size } = await receive()
    const last = path.includes('entries') ? size : leader.log.published.number
    const response = await app.request(path, { headers: { ...headers(), 'last-event-id': String(last) } })
    expect(response.status).toBe(200)
    const next = await receive()
    expect((await ask(`/v1/entries/${next.size}`)).status).toBe(200)
    expect(await readUntil(response, 'event: ')).toContain(`id: ${last + 1}\n`)
  },
)

test('a monitor that meets an older checkpoint, after a newer one of another server, finds the log in order', async () => {
  const { size } = await receive()
  const newest = leader.log.published.note
  expect(standby.log.published.treeSize).toBeLessThan(size)
  const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> =>
    app.request(String(url), init)
  const client = openLogClient({ url: 'http://standby.example', vkey: leader.test.keys.vkey, fetch })
  const check = await checkOnce(client, { load: async () => newest, save: async () => {} })
  expect(check).toMatchObject({ kind: 'unchanged', at: { note: newest } })
})

test('what nobody has published is refused as before', async () => {
  const large = Array.from({ length: 200 }, (_, i) => ask(`/v1/proofs/inclusion?index=0&size=${1e9 + i}`))
  expect(new Set((await Promise.all(large)).map(({ status }) => status))).toEqual(new Set([400]))
  expect((await ask('/tile/7/x999/999')).status).toBe(404)
  expect((await ask('/v1/entries/9007199254740991')).status).toBe(404)
  expect((await ask('/ct/v1/get-entries?start=1000000&end=1000001')).status).toBe(400)
  expect((await ask('/v1/checkpoints/stream?after=1000000')).status).toBe(400)
})

test('nothing of this was unexpected', () => {
  expect(leader.unexpected).toEqual([])
  expect(standby.incidents).toEqual([])
})

test('a standby that cannot follow for an incident is not ready for reads', async () => {
  expect((await ask('/readyz?for=reads')).status).toBe(200)
  await leader.sql(
    `insert into security.checkpoints (number, tree_size, root_hash, timestamp_ms, note, sth_signature)
     select number + 1, tree_size, root_hash, timestamp_ms + 1, note, sth_signature
     from security.checkpoints
     order by number desc
     limit 1`,
  )
  const stuck = await leader.test.begin({ standsBy: true })
  await untilIncident(stuck, 'FORKED')
  const answer = await read(createApp({ ...leader.server, log: stuck.log }).request('/readyz?for=reads'))
  expect(answer).toMatchObject({ status: 503, json: { status: 'not ready', incident: 'FORKED' } })
  await stuck.stop()
  const guards = ['start', 'end', 'drop'].map((name) => `alter event trigger security_guard_${name} disable;`)
  await leader.sql(`${guards.join('\n')} alter table security.checkpoints disable trigger all;
    delete from security.checkpoints where number = (select max(number) from security.checkpoints)`)
})

async function readUntil(response: Response, text: string): Promise<string> {
  const reader = response.body?.getReader()
  for (let seen = ''; ; ) {
    const chunk = await reader?.read()
    seen += new TextDecoder().decode(chunk?.value)
    if (!seen.includes(text) && chunk?.done === false) continue
    await reader?.cancel()
    return seen
  }
}
