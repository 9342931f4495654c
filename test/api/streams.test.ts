import { afterAll, beforeAll, expect, test } from 'vitest'
import { StreamPlaces } from '../../api/stream-places.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { openCheckpoint } from '../../tlog/checkpoint.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'

let api: TestApi
let url: string
beforeAll(async () => {
  api = await openTestApi()
  url = `http://127.0.0.1:${(await api.listen()).port}`
})
afterAll(() => api.close())

type Event = { readonly id: number; readonly event: string; readonly data: Readonly<Record<string, unknown>> }
type Stream = {
  readonly response: Response
  readonly read: (count: number) => Promise<Event[]>
  readonly leave: () => void
}

async function open(path: string, headers: Record<string, string> = {}): Promise<Stream> {
  const leaving = new AbortController()
  const authorization = `Bearer ${api.tokens.auditor}`
  const response = await fetch(`${url}${path}`, { headers: { authorization, ...headers }, signal: leaving.signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const read = async (count: number): Promise<Event[]> => {
    const blocks = (): string[] =>
      text
        .split('\n\n')
        .slice(0, -1)
        .filter((block) => block.startsWith('id: '))
    while (blocks().length < count) {
      const { value, done } = (await reader?.read()) ?? { done: true, value: undefined }
      if (done) throw new Error(`the stream ended after ${JSON.stringify(text.slice(0, 300))}`)
      text += value
    }
    const events = blocks().slice(0, count).map(parseEvent)
    text = `${blocks().slice(count).join('\n\n')}${blocks().length > count ? '\n\n' : ''}`
    return events
  }
  return { response, read, leave: () => leaving.abort() }
}

function parseEvent(block: string): Event {
  const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)))
  return { id: Number(fields.id), event: fields.event, data: JSON.parse(fields.data) }
}

async function post(count: number): Promise<void> {
  const first = api.log.published.treeSize
  const records = Array.from({ length: count }, (_, i) =>
    submissionWith({ payload: { n: first + i, line: 'a\nb\u2028' } }),
  )
  await api.post(records, {}, '?wait=published')
}

function sizeOf(note: unknown): number {
  const verifier = textVerifier(parseVkey(api.server.identity.vkey), nodeSignatureCheck)
  return openCheckpoint(new TextEncoder().encode(String(note)), verifier.name, [verifier]).checkpoint.size
}

test('the history of checkpoints has all of them, signed, in pages', async () => {
  for (const count of [1, 2, 3]) await post(count)
  const seen: { number: number; treeSize: number; note: string }[] = []
  for (let after: unknown; after !== null; ) {
    const query: string = after === undefined ? '' : `&after=${after}`
    const { json } = await api.get(`/v1/checkpoints?limit=2${query}`)
    seen.push(...(json.checkpoints as typeof seen))
    after = json.nextCursor
  }
  expect(seen.map(({ number }) => number)).toEqual(seen.map((_, n) => n))
  expect(seen.map(({ note }) => sizeOf(note))).toEqual(seen.map(({ treeSize }) => treeSize))
  expect(seen.at(-1)?.treeSize).toBe(6)
})

test('a stream of checkpoints begins with the newest and goes on with each that is published', async () => {
  const { response, read, leave } = await open('/v1/checkpoints/stream', { authorization: '' })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const [newest] = await read(1)
  expect(newest).toMatchObject({ event: 'checkpoint', id: api.log.published.number })
  await post(1)
  const [next] = await read(1)
  expect(next?.id).toBe((newest?.id ?? 0) + 1)
  expect(sizeOf(next?.data.note)).toBe(next?.data.treeSize)
  leave()
})

test('who lost the connection gets what was published meanwhile, without gaps', async () => {
  const { number } = api.log.published
  for (const count of [1, 1, 1]) await post(count)
  for (const resume of [
    await open('/v1/checkpoints/stream', { 'last-event-id': String(number) }),
    await open(`/v1/checkpoints/stream?after=${number}`),
  ]) {
    expect((await resume.read(3)).map(({ id }) => id)).toEqual([number + 1, number + 2, number + 3])
    resume.leave()
  }
})

test('auditors see entries as they are published, from where they say, in order and without gaps', async () => {
  const { treeSize } = api.log.published
  const tail = await open('/v1/entries/stream')
  const all = await open('/v1/entries/stream?after=0')
  await post(300)
  await post(5)
  const seen = await tail.read(305)
  expect(seen.map(({ id }) => id)).toEqual(Array.from({ length: 305 }, (_, i) => treeSize + 1 + i))
  expect(seen.every(({ event, id, data }) => event === 'entry' && data.sequenceNumber === id)).toBe(true)
  expect((await all.read(treeSize + 305)).map(({ id }) => id)).toEqual(
    Array.from({ length: treeSize + 305 }, (_, i) => i + 1),
  )
  expect(seen[0]?.data.payload).toEqual({ n: treeSize, line: 'a\nb\u2028' })
  tail.leave()
  all.leave()
})

test.each([
  ['/v1/checkpoints?after=-1', 'after'],
  ['/v1/checkpoints?limit=0', 'limit'],
  ['/v1/checkpoints?limit=1001', 'limit'],
  ['/v1/checkpoints?from=1', 'from'],
  ['/v1/checkpoints/stream?after=x', 'after'],
  ['/v1/checkpoints/stream?after=9007199254740991', 'after'],
  ['/v1/entries/stream?after=9007199254740991', 'after'],
])('%s is 400 and names the parameter', async (path, parameter) => {
  const { status, json } = await api.get(path, 'auditor')
  expect([status, json.code, json.parameter]).toEqual([400, 'malformed-parameter', parameter])
})

test('entries are streamed to auditors only', async () => {
  expect((await api.get('/v1/entries/stream')).status).toBe(401)
  expect((await api.get('/v1/entries/stream', 'writer')).status).toBe(403)
})

test('more streams of one address than there may be are 503, auditors get theirs, and there is room again when some have left', async () => {
  const streams = await Promise.all(Array.from({ length: 32 }, () => open('/v1/checkpoints/stream')))
  const refused = await fetch(`${url}/v1/checkpoints/stream`)
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9][0-9]*$/)
  expect(await refused.text()).toContain('32 streams of this address')
  const auditors = await Promise.all(Array.from({ length: 40 }, () => open('/v1/entries/stream')))
  expect(auditors.filter(({ response }) => response.status !== 200)).toEqual([])
  for (const { leave } of auditors) leave()
  for (const { leave } of streams) leave()
  for (let status = 503; status === 503; ) {
    const again = await open('/v1/checkpoints/stream')
    status = again.response.status
    again.leave()
  }
})

test('256 streams of a kind are open at most, whatever addresses they have, and each leaves its place once', () => {
  const places = new StreamPlaces()
  const free = Array.from({ length: 256 }, (_, i) => places.take(`10.0.0.${i}`))
  expect(() => places.take('10.0.1.0')).toThrow('256 streams are open')
  free[0]?.()
  places.take('10.0.1.0')
  expect(() => places.take()).toThrow('256 streams are open')
})

test('HEAD, whose body nobody reads, opens no stream', async () => {
  for (let i = 0; i < 300; i++) {
    const { status } = await api.app.request('/v1/checkpoints/stream', { method: 'HEAD' })
    expect(status).toBe(200)
  }
  const { response, leave } = await open('/v1/checkpoints/stream')
  expect(response.status).toBe(200)
  leave()
})

/** Reads on until the stream ends. */
async function untilEnd(stream: Stream): Promise<void> {
  await expect(stream.read(Number.MAX_SAFE_INTEGER)).rejects.toThrow('the stream ended')
}

test.each([
  ['is revoked', 'revoked_at = clock_timestamp()'],
  ['expires', `expires_at = clock_timestamp() + interval '1 second'`],
])('a stream of entries ends when its token %s, without another entry, and others go on', async (name, assignment) => {
  const wanted = { scopes: null, expiresAt: null, requestsPerSecond: null, entriesPerSecond: null }
  const maker = api.server.tokens
  const made = await maker.make({ name: name.replace(' ', '-'), role: 'auditor', ...wanted }, 'token:t')
  const authorization = `Bearer ${made.secret}`
  const [ending, staying] = [await open('/v1/entries/stream', { authorization }), await open('/v1/entries/stream')]
  await api.sql(`update security_state.tokens set ${assignment} where id = $1`, [made.token.id])
  await untilEnd(ending)
  await post(1)
  expect(await staying.read(1)).toHaveLength(1)
  expect((await fetch(`${url}/v1/entries/stream`, { headers: { authorization } })).status).toBe(401)
  staying.leave()
})

test('who leaves in the middle of a page of entries gives back the room that it took', async () => {
  await post(20)
  for (let i = 0; i < 5; i++) {
    const headers = { authorization: `Bearer ${api.tokens.auditor}` }
    const reader = (await api.app.request('/v1/entries/stream?after=0', { headers })).body?.getReader()
    for (const _ of ['retry', 'the first entry']) await reader?.read()
    await reader?.cancel()
  }
  await expect.poll(() => api.server.readBudget.bytesTaken).toBe(0)
})

test('a Last-Event-ID that is none is refused: to begin anywhere else would leave a gap', async () => {
  const response = await fetch(`${url}/v1/checkpoints/stream`, { headers: { 'last-event-id': 'x' } })
  expect(await response.json()).toMatchObject({ status: 400, parameter: 'Last-Event-ID' })
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
