import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { parseUuidV7, uuidUnixMs } from '../../tlog/uuid.ts'
import { finished, makeFolder, type RunningServer, removeFolder, run, spawnProgram, startServer } from './binary.ts'

type Entry = { readonly sequenceNumber: number; readonly id: string; readonly payload: Record<string, unknown> }
type Tokens = { readonly writer: string; readonly auditor: string }

const gzipped = new URL('../../deploy/sample-events/cloudtrail.ndjson.gz', import.meta.url)
const events = gunzipSync(await readFile(gzipped)).toString('utf8')

let folder = ''
let server: RunningServer
let tokens: Tokens
let environment: Record<string, string> = {}
let proxy: Server | undefined

beforeAll(async () => {
  folder = await makeFolder()
  // Entries are counted here, and the log's own would count too.
  server = await startServer(join(folder, 'data'), { DENDROLOG_ACT_SUM_INTERVAL_MS: '0' })
  tokens = JSON.parse(await readFile(join(folder, 'data', 'tokens.json'), 'utf8')) as Tokens
  environment = { DENDROLOG_DATA_DIR: join(folder, 'data') }
})

afterEach(() => {
  proxy?.closeAllConnections()
  proxy?.close()
  proxy = undefined
})

afterAll(async () => {
  await server.stop()
  await removeFolder(folder)
})

async function makeInput(text: string): Promise<string> {
  const path = join(folder, `${randomUUID()}.ndjson`)
  await writeFile(path, text)
  return path
}

/** Records without ids. */
function makeRecords(count: number, tag: string): string {
  return Array.from({ length: count }, (_, n) => `${makeRecord(n, tag)}\n`).join('')
}

function makeRecord(n: number, tag: string): string {
  return JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { n, tag } })
}

/** Size of the tree after all that was sequenced so far is published. */
async function treeSize(): Promise<number> {
  const answer = await fetch(`${server.url}/v1/entries`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.writer}`, 'content-type': 'application/json' },
    body: makeRecord(0, 'end'),
  })
  const { entry } = (await answer.json()) as { entry: Entry }
  return entry.sequenceNumber
}

async function readEntries(from: number, to: number): Promise<Entry[]> {
  const read = async (n: number): Promise<Entry> => {
    const headers = { authorization: `Bearer ${tokens.auditor}` }
    return (await (await fetch(`${server.url}/v1/entries/${n}`, { headers })).json()) as Entry
  }
  const entries: Entry[] = []
  for (let n = from; n < to; n += 50) {
    const numbers = Array.from({ length: Math.min(50, to - n) }, (_, i) => n + i)
    entries.push(...(await Promise.all(numbers.map(read))))
  }
  return entries
}

async function readLine(statePath: string): Promise<number> {
  const text = await readFile(statePath, 'utf8').catch(() => '{}')
  return (JSON.parse(text) as { line?: number }).line ?? -1
}

/** Runs an append and kills it as soon as its state is at least at `line`. False where it came to its end before. */
async function runUntil(args: readonly string[], statePath: string, line: number): Promise<boolean> {
  const child = spawnProgram(['append', ...args], environment)
  const end = finished(child)
  while (child.exitCode === null && (await readLine(statePath)) < line) await sleep(1)
  child.kill('SIGKILL')
  return (await end).status === null
}

test('real events, killed again and again on the way, are each appended once and in order', async () => {
  const withoutIds = events.replaceAll(/^\{"id":"[^"]+",/gm, '{')
  const file = await makeInput(withoutIds)
  const before = await treeSize()
  const args = [file, '--url', server.url, '--batch', '15']
  let kills = 0
  for (const line of [0, 1, 200, 500, 800, 1_100, 1_400]) {
    if (await runUntil(args, `${file}.dendrolog-state`, line)) kills++
  }
  expect(kills).toBeGreaterThanOrEqual(5)
  const last = await run(['append', ...args], environment)
  expect(last).toMatchObject({ status: 0 })
  expect(last.stdout).toContain(`at indexes ${before} to ${before + 1_449}`)
  expect((await treeSize()) - before - 1).toBe(1_450)
  const sent = withoutIds
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as Entry).payload.eventID)
  const logged = await readEntries(before + 1, before + 1_451)
  expect(logged.map(({ payload }) => payload.eventID)).toEqual(sent)
  const times = new Set(logged.map(({ id }) => uuidUnixMs(parseUuidV7(id))))
  expect(times.size).toBe(1)
}, 120_000)

test('a finished file is not appended again; lines that are added later are', async () => {
  const file = await makeInput(makeRecords(30, 'grow'))
  const args = ['append', file, '--url', server.url, '--json']
  const before = await treeSize()
  const first = JSON.parse((await run(args, environment)).stdout) as Record<string, unknown>
  expect(first).toMatchObject({ accepted: 30, duplicates: 0, refused: 0, firstIndex: before, lastIndex: before + 29 })
  expect(JSON.parse((await run(args, environment)).stdout)).toEqual(first)
  await appendFile(file, makeRecords(5, 'grown'))
  expect(JSON.parse((await run(args, environment)).stdout)).toMatchObject({ accepted: 35, duplicates: 0 })
  expect(await treeSize()).toBe(before + 36)
  expect((await stat(`${file}.dendrolog-state`)).mode % 0o1000).toBe(0o600)
  // Others in this folder were killed, and may have left theirs.
  const drafts = (await readdir(folder)).filter((name) => name.startsWith(`.${basename(file)}.dendrolog-state.`))
  expect(drafts).toEqual([])
})

test('another file under the name of one that was begun is refused', async () => {
  const file = await makeInput(makeRecords(30, 'one'))
  const args = ['append', file, '--url', server.url]
  await run(args, environment)
  await writeFile(file, makeRecords(30, 'two'))
  const { status, stderr } = await run(args, environment)
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('is not the file that') })
  expect(stderr).toContain('appends records without an id, which are entries already, a second time')
  await writeFile(file, makeRecords(3, 'one'))
  expect((await run(args, environment)).status).toBe(2)
})

test('a line that was changed far before the end of what was sent is noticed, and nothing is sent', async () => {
  const file = await makeInput(makeRecords(2_000, 'changed'))
  const args = ['append', file, '--url', server.url]
  await run(args, environment)
  const before = await treeSize()
  const lines = (await readFile(file, 'utf8')).replace('"n":3,', '"n":4,')
  await writeFile(file, `${lines}${makeRecord(2_000, 'changed')}\n`)
  expect(await run(args, environment)).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/up to line 2000, has changed\. Restore it, and put new records at its end/),
  })
  expect(await treeSize()).toBe(before + 1)
})

test('a state of the format before, which knows the last 64 KiB, goes on', async () => {
  const file = await makeInput(makeRecords(3, 'format'))
  const args = ['append', file, '--url', server.url, '--json']
  await run(args, environment)
  const path = `${file}.dendrolog-state`
  const { sent, ...state } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  await writeFile(path, JSON.stringify({ ...state, format: 1, tail: sent }))
  await appendFile(file, makeRecords(2, 'format'))
  expect(JSON.parse((await run(args, environment)).stdout)).toMatchObject({ accepted: 5, duplicates: 0 })
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ format: 2, sent: expect.stringMatching(/^\w{64}$/) })
})

test('what a killed run left beside its state is removed by the next, and nothing of other files', async () => {
  const file = await makeInput(makeRecords(3, 'left'))
  const left = join(folder, `.${basename(file)}.dendrolog-state.dendrolog-0123456789abcdef`)
  const others = join(folder, '.other.dendrolog-0123456789abcdef')
  for (const path of [left, others]) {
    await writeFile(path, '')
    await utimes(path, 1, 1)
  }
  expect(await run(['append', file, '--url', server.url], environment)).toMatchObject({ status: 0 })
  await expect(stat(left)).rejects.toThrow('ENOENT')
  expect((await stat(others)).size).toBe(0)
})

test('records with ids keep them: a second file of the same records makes no entries', async () => {
  const lines = `${events.split('\n').slice(0, 40).join('\n')}\n`
  const args = ['--url', server.url, '--json', '--gzip']
  const first = await run(['append', await makeInput(lines), ...args], environment)
  expect(JSON.parse(first.stdout)).toMatchObject({ accepted: 40, duplicates: 0 })
  const second = await run(['append', await makeInput(lines), ...args], environment)
  expect(JSON.parse(second.stdout)).toMatchObject({ accepted: 0, duplicates: 40 })
})

test('refused records are listed with line, code and pointer, and the others are appended', async () => {
  const good = makeRecord(1, 'good')
  const long = makeRecord(1, 'x'.repeat(17_000_000))
  const text = [good, '', '{"actorId":1}', good.replace('{', '{"id":"no",'), 'no json', long, `${good}\r`, ' {} ', good]
  const file = await makeInput(text.join('\n'))
  const { status, stdout, stderr } = await run(['append', file, '--url', server.url, '--json'], environment)
  expect([status, stderr]).toEqual([2, 'dendrolog append: 5 records were refused and are no entries\n'])
  const result = JSON.parse(stdout) as { refusedRecords: { line: number; code: string; pointer?: string }[] }
  expect(result).toMatchObject({ lines: 9, accepted: 3, duplicates: 0, refused: 5 })
  const places = result.refusedRecords.map(({ line, code, pointer }) => [line, code, pointer])
  expect(places.sort(([a], [b]) => Number(a) - Number(b))).toEqual([
    [3, 'malformed-submission', expect.stringContaining('/')],
    [4, 'malformed-submission', '/id'],
    [5, 'malformed-json', undefined],
    [6, 'body-too-large', undefined],
    [8, 'malformed-submission', '/actorId'],
  ])
  // Nothing is left to do, and the refused ones are still refused.
  const again = await run(['append', file, '--url', server.url, '--json'], environment)
  expect({ status: again.status, stdout: again.stdout }).toEqual({ status: 2, stdout })
  expect((await run(['append', file, '--url', server.url], environment)).stderr).toContain('line 5: refused: malformed')
  const readable = await run(['append', await makeInput('{}\n'), '--url', server.url], environment)
  expect(readable.stderr).toContain('line 1: refused: malformed-submission at /actorId: actorId: is required')
})

test('a compressed file is refused before anything is sent, with what takes it apart', async () => {
  const { status, stderr } = await run(['append', gzipped.pathname, '--url', server.url], environment)
  expect(status).toBe(2)
  expect(stderr).toMatch(/cloudtrail\.ndjson\.gz: is compressed; append what is in it: gunzip -c /)
})

test('standard input is appended, and said not to be resumable', async () => {
  const { status, stdout, stderr } = await run(['append', '--url', server.url], environment, makeRecords(12, 'stdin'))
  expect(status).toBe(0)
  expect(stdout).toMatch(/^standard input to \S+: 12 accepted, 0 duplicates, 0 refused, at indexes/)
  expect(stderr).toContain('standard input cannot be resumed')
})

type Fault = (request: IncomingMessage, body: Buffer, response: ServerResponse) => Promise<boolean>

/** A proxy before the server; `fault` answers, or says with false that the server shall. */
async function startProxy(fault: Fault): Promise<string> {
  proxy = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    if (await fault(request, body, response)) return
    const answer = await forward(request, body)
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return `http://127.0.0.1:${(proxy.address() as { port: number }).port}`
}

function forward({ url, method, headers }: IncomingMessage, body: Buffer): Promise<Response> {
  const { authorization, 'content-type': type } = headers
  const passed = { ...(authorization ? { authorization } : {}), ...(type ? { 'content-type': type } : {}) }
  return fetch(`${server.url}${url}`, method === 'POST' ? { method, headers: passed, body } : { headers: passed })
}

test('503, 429, lost connections and lost answers of requests that were done lead to no loss and no copy', async () => {
  let turn = 0
  const url = await startProxy(async (request, body, response) => {
    if (request.method !== 'POST') return false
    switch (turn++ % 5) {
      case 0:
        response.writeHead(503, { 'retry-after': '0' }).end('{"detail":"not now"}')
        return true
      case 1:
        await (await forward(request, body)).text()
        request.socket.destroy()
        return true
      case 2:
        response.writeHead(429, { 'retry-after': '0' }).end()
        return true
      case 3:
        request.socket.destroy()
        return true
      default:
        return false
    }
  })
  const before = await treeSize()
  const file = await makeInput(makeRecords(100, 'faults'))
  const { status, stdout } = await run(['append', file, '--url', url, '--batch', '25', '--json'], environment)
  expect({ status, ...(JSON.parse(stdout) as object) }).toMatchObject({
    ...{ status: 0, accepted: 0, duplicates: 100, refused: 0, firstIndex: before, lastIndex: before + 99 },
  })
  const logged = await readEntries(before + 1, before + 101)
  expect(logged.map(({ payload }) => payload.n)).toEqual(Array.from({ length: 100 }, (_, n) => n))
  expect(await treeSize()).toBe(before + 101)
})

test('a request that is too large for a proxy is sent in halves, in order', async () => {
  const url = await startProxy(async (_, body, response) => {
    if (body.length <= 3_000) return false
    response.writeHead(413).end()
    return true
  })
  const before = await treeSize()
  const text = `${makeRecords(60, 'halves')}${makeRecord(60, 'x'.repeat(4_000))}\n`
  const { status, stdout } = await run(['append', await makeInput(text), '--url', url, '--json'], environment)
  expect(status).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({ accepted: 60, refusedRecords: [{ line: 61, code: 'body-too-large' }] })
  const logged = await readEntries(before + 1, before + 61)
  expect(logged.map(({ payload }) => payload.n)).toEqual(Array.from({ length: 60 }, (_, n) => n))
})

test('an answer that does not account for every record is not believed', async () => {
  const url = await startProxy(async (request, _, response) => {
    if (request.method !== 'POST') return false
    const nothing = { accepted: 1, duplicates: 0, quarantined: 0, firstIndex: 0, lastIndex: 0, results: [] }
    response.writeHead(200).end(JSON.stringify(nothing))
    return true
  })
  const { status, stderr } = await run(['append', '-', '--url', url], environment, makeRecords(2, 'lie'))
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('not that of a dendrolog server') })
})

test('a server that stays away ends the run with status 2, and the next run goes on', async () => {
  const file = await makeInput(makeRecords(3, 'away'))
  const url = await startProxy(async (_, __, response) => {
    response.writeHead(503).end('{"detail":"closed"}')
    return true
  })
  const away = await run(['append', file, '--url', url, '--retry-for', '1'], environment)
  expect(away).toMatchObject({ status: 2, stderr: expect.stringMatching(/503 closed; gave up after \d+ tries/) })
  const back = await run(['append', file, '--url', server.url], environment)
  expect(back).toMatchObject({ status: 0, stdout: expect.stringContaining('3 accepted') })
})

test('where nobody listens it says at once where it looked and how to name another place, and gives up soon', async () => {
  const token = join(folder, 'data', 'tokens.json')
  const port = await freePort()
  const { status, stderr } = await run(['append', '-', '--token-file', token], { PORT: port }, makeRecords(1, 'none'))
  const advice = 'start the server, or say with --url or PORT where it is'
  const first = `http://127.0.0.1:${port}: no connection (ECONNREFUSED); ${advice}`
  expect({ status, line: stderr.split('\n')[0] }).toEqual({ status: 2, line: expect.stringContaining(first) })
  expect(stderr).toMatch(/gave up after \d tries/)
})

async function freePort(): Promise<string> {
  const listening = createServer().listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const { port } = listening.address() as { port: number }
  listening.close()
  await once(listening, 'close')
  return String(port)
}

test('a server that stands by is said to, with the pause', async () => {
  let refusals = 2
  const url = await startProxy(async (request, _, response) => {
    if (request.method !== 'POST' || refusals-- === 0) return false
    response.writeHead(503, { 'retry-after': '0' }).end('{"code":"not-leader","detail":"another server"}')
    return true
  })
  const { status, stderr } = await run(['append', '-', '--url', url], environment, makeRecords(1, 'standby'))
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: expect.stringContaining('not-leader: this server stands by; trying again in 0.0 s'),
  })
})

test('a state that is about another log is refused', async () => {
  const file = await makeInput(makeRecords(3, 'log'))
  await run(['append', file, '--url', server.url], environment)
  const path = `${file}.dendrolog-state`
  await writeFile(path, (await readFile(path, 'utf8')).replace(/"origin": "[^"]+"/, '"origin": "log.example/other"'))
  const other = await run(['append', file, '--url', server.url], environment)
  expect(other).toMatchObject({ status: 2, stderr: expect.stringContaining('was being appended to log.example/other') })
  await writeFile(path, '{"format"')
  const torn = await run(['append', file, '--url', server.url], environment)
  expect(torn).toMatchObject({ status: 2, stderr: expect.stringContaining('is not what append wrote') })
})

test('the token may be alone in a file; a refused or missing one is no secret told', async () => {
  const tokenFile = join(folder, 'token')
  const args = ['append', '-', '--url', server.url, '--token-file', tokenFile]
  await writeFile(tokenFile, `${tokens.writer}\n`, { mode: 0o600 })
  expect(await run(args, {}, makeRecords(1, 'token'))).toMatchObject({ status: 0 })
  await writeFile(tokenFile, tokens.auditor)
  const wrong = await run(args, {}, makeRecords(1, 'token'))
  expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining('answered 403') })
  await writeFile(tokenFile, 'not a token at all')
  const none = await run(args, {}, makeRecords(1, 'token'))
  expect(none).toMatchObject({ status: 2, stderr: expect.stringContaining('holds no token') })
  expect(`${wrong.stderr}${none.stderr}`).not.toMatch(new RegExp(`not a token at all|${tokens.auditor}`))
})

test('SIGINT ends a run with status 2, and the next one goes on', async () => {
  const file = await makeInput(makeRecords(2_000, 'interrupt'))
  const before = await treeSize()
  const args = ['append', file, '--url', server.url, '--batch', '10']
  const child = spawnProgram(args, environment)
  const end = finished(child)
  while ((await readLine(`${file}.dendrolog-state`)) < 20) await sleep(1)
  child.kill('SIGINT')
  expect(await end).toMatchObject({ status: 2, stderr: expect.stringContaining('interrupted') })
  expect(await run(args, environment)).toMatchObject({ status: 0 })
  expect(await treeSize()).toBe(before + 2_001)
})
