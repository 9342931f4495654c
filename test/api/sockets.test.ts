import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import zlib from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'

// What only a socket shows: framing, slowness, size, and what becomes of the connection.

const bytesMax = 200_000
let api: TestApi
let port: number
beforeAll(async () => {
  api = await openTestApi({ limits: { bodyBytesMax: bytesMax }, answerMs: 1_000 })
  port = (await api.listen()).port
})
afterAll(() => api.close())

const good = JSON.stringify(submissionWith())

function head(fields: Record<string, string>, line = 'POST /v1/entries HTTP/1.1'): string {
  const all = {
    host: 'localhost',
    authorization: `Bearer ${api.tokens.writer}`,
    'content-type': 'application/json',
    ...fields,
  }
  return `${line}\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`
}

async function open(at: number = port): Promise<Socket> {
  const socket = connect(at, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

/** Sends the parts one after the other and reads until `count` answers have come or the server hangs up. */
async function exchange(
  parts: readonly (string | Uint8Array)[],
  count = 1,
): Promise<{ text: string; statuses: number[]; ended: boolean }> {
  const socket = await open()
  let text = ''
  let ended = false
  socket.on('data', (chunk) => {
    text += String(chunk)
  })
  socket.on('close', () => {
    ended = true
  })
  for (const part of parts) if (!socket.destroyed) socket.write(part)
  const statuses = (): number[] =>
    [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status)).filter((status) => status !== 100)
  await until(
    () => ended || statuses().length >= count,
    () => `answers; got ${text.slice(0, 200)}`,
  )
  await sleep(20)
  socket.destroy()
  return { text, statuses: statuses(), ended }
}

test('a body in chunks, without Content-Length, is read', async () => {
  const [a, b] = [good.slice(0, 10), good.slice(10)]
  const chunks = [a, b].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
  const { statuses } = await exchange([head({ 'transfer-encoding': 'chunked' }), ...chunks, '0\r\n\r\n'])
  expect(statuses).toEqual([201])
})

test('two requests on one connection, the second sent before the first is answered, get two answers in order', async () => {
  const one = head({ 'content-length': String(good.length) }) + good
  const bad = `${head({ 'content-length': '2' })}{}`
  expect((await exchange([one + bad + one], 3)).statuses).toEqual([201, 400, 201])
})

test('who sends 200 requests ahead of their answers does not keep others waiting for all of them', async () => {
  const [many, one] = await Promise.all([open(), open()])
  let answers = 0
  many.on('data', (chunk) => {
    answers += String(chunk).split('HTTP/1.1 200').length - 1
  })
  const asked = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
  many.write(asked.repeat(200))
  one.write(asked)
  await once(one, 'data')
  expect(answers).toBeLessThan(200)
  await until(
    () => answers === 200,
    () => `${answers} answers`,
  )
  many.destroy()
  one.destroy()
})

test('what is sent ahead of large answers that nobody reads is not begun, and answered when they are read', async () => {
  const asked = 100
  const of = await openTestApi()
  const { readCheckpoints } = of.server
  let begun = 0
  Object.assign(of.server, {
    readCheckpoints: async () => {
      begun++
      const [first] = await readCheckpoints(-1, 1)
      return Array.from({ length: 1_000 }, () => first)
    },
  })
  const { port } = await of.listen()
  const [many, other] = await Promise.all([open(port), open(port)])
  many.pause()
  many.write('GET /v1/checkpoints?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(asked))
  await until(
    () => begun > 0,
    () => 'the first one',
  )
  // A turn each at least; a request of the others was begun in every turn.
  for (let i = 0; i < 2 * asked; i++) {
    other.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(other, 'data')
  }
  expect(begun).toBeLessThan(40)
  let answers = 0
  many.on('data', (chunk) => {
    answers += String(chunk).split('HTTP/1.1 200').length - 1
  })
  many.resume()
  await until(
    () => answers > asked - 5 && begun === asked,
    () => `${answers} answers, ${begun} begun`,
  )
  for (const socket of [many, other]) socket.destroy()
  await of.close()
})

test('a request without a body is refused as no JSON', async () => {
  const { statuses, text } = await exchange([head({})])
  expect(statuses).toEqual([400])
  expect(text).toContain('malformed-json')
})

test('the address of the peer stands in where the client sends none', async () => {
  const { text } = await exchange([head({ 'content-length': String(good.length) }) + good])
  expect(text).toContain('"clientIp":"127.0.0.1"')
  expect(text).toContain('"sourcePosition":"http:127.0.0.1"')
})

test('a body that says it is too large is 413 at once: nothing of it is waited for', async () => {
  const { statuses, text } = await exchange([head({ 'content-length': String(1_000_000_000) })])
  expect(statuses).toEqual([413])
  expect(text).toContain('body-too-large')
})

test('who sends a body of a hundred times the limit before reading gets to read the 413', async () => {
  const body = Buffer.alloc(100 * bytesMax, ' ')
  for (const framing of [{ 'content-length': String(body.length) }, { 'transfer-encoding': 'chunked' }]) {
    const isChunked = 'transfer-encoding' in framing
    const parts = isChunked ? [`${body.length.toString(16)}\r\n`, body, '\r\n0\r\n\r\n'] : [body]
    const response = await exchange([head(framing), ...parts])
    expect(response.statuses).toEqual([413])
  }
})

test('an endless body in chunks is 413 and the connection is closed', async () => {
  const socket = await open()
  let text = ''
  socket.on('data', (chunk) => {
    text += String(chunk)
  })
  const closed = once(socket, 'close')
  socket.write(head({ 'transfer-encoding': 'chunked' }))
  const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
  let sent = 0
  while (!socket.destroyed && sent < 1_000) {
    if (socket.write(chunk)) await sleep(1)
    else await Promise.race([once(socket, 'drain'), closed])
    sent++
  }
  await closed
  expect(text).toContain('HTTP/1.1 413')
  expect(sent).toBeLessThan(1_000)
})

test('a body that does not come is 503 after the time for an answer, and the connection is closed', async () => {
  const { statuses, text } = await exchange([head({ 'content-length': '100' }), good.slice(0, 20)])
  expect(statuses).toEqual([503])
  expect(text).toContain('body-timeout')
  expect(text.toLowerCase()).toMatch(/retry-after: [1-9]/)
})

test('what is announced and does not come takes no room, and a body below a KiB a second is 503', async () => {
  const slow = await openTestApi({ paceMs: 500 })
  const { port } = await slow.listen()
  const socket = await open(port)
  let text = ''
  socket.on('data', (chunk) => {
    text += String(chunk)
  })
  const fields = { authorization: `Bearer ${slow.tokens.writer}`, 'content-length': '16000000' }
  socket.write(`${head(fields)}{`)
  await until(
    () => slow.server.bodyBudget.bytesTaken > 0,
    () => 'the body',
  )
  expect(slow.server.bodyBudget.bytesTaken).toBeLessThan(500_000)
  await until(
    () => text.includes('body-timeout'),
    () => `the refusal, got ${text}`,
  )
  expect(text).toContain('HTTP/1.1 503')
  await once(socket, 'close')
  await slow.close()
})

test('bodies that come slowly and together are more than there is room for all arrive', async () => {
  const tight = await openTestApi({ limits: { bodyBytesMax: 2_000_000 } })
  const { port } = await tight.listen()
  const body = good.padEnd(1_900_000, ' ')
  const fields = { authorization: `Bearer ${tight.tokens.writer}`, 'content-length': String(body.length) }
  const sockets = await Promise.all(Array.from({ length: 6 }, () => open(port)))
  const statuses: string[] = []
  for (const socket of sockets) socket.on('data', (chunk) => statuses.push(String(chunk).slice(9, 12)))
  for (const socket of sockets) socket.write(head(fields))
  const pieces = 20
  for (let i = 0; i < pieces; i++) {
    const [from, to] = [i, i + 1].map((n) => Math.floor((n * body.length) / pieces))
    for (const socket of sockets) socket.write(body.slice(from, to))
    await sleep(1)
  }
  await until(
    () => statuses.length === sockets.length,
    () => `${statuses}`,
  )
  expect(statuses).toEqual(Array(sockets.length).fill('201'))
  for (const socket of sockets) socket.destroy()
  await tight.close()
})

test('a token that is revoked while its body comes writes nothing', async () => {
  const made = await api.server.tokens.make(
    {
      name: 'short-lived',
      role: 'writer',
      scopes: null,
      requestsPerSecond: null,
      entriesPerSecond: null,
      expiresAt: null,
    },
    'token:admin',
  )
  const before = api.log.health.integratedSize
  const socket = await open()
  const authorization = `Bearer ${made.secret}`
  socket.write(head({ authorization, 'content-length': String(good.length) }) + good.slice(0, 20))
  await until(
    () => api.server.bodyBudget.bytesTaken > 0,
    () => 'the body',
  )
  await api.server.tokens.revoke(made.token.id, 'token:admin')
  socket.write(good.slice(20))
  const [answer] = await once(socket, 'data')
  expect(String(answer)).toContain('HTTP/1.1 401')
  expect(api.log.health.integratedSize).toBe(before)
  socket.destroy()
})

test('a gzip body is read from a socket too', async () => {
  const body = zlib.gzipSync(good)
  const { statuses } = await exchange([
    head({ 'content-encoding': 'gzip', 'content-length': String(body.length) }),
    body,
  ])
  expect(statuses).toEqual([201])
})

test('a connection that is closed within its body leaves nothing behind and logs nothing', async () => {
  const before = api.log.health.integratedSize
  const socket = await open()
  socket.write(head({ 'content-length': '1000' }) + good)
  await until(
    () => api.server.bodyBudget.bytesTaken > 0,
    () => 'the body',
  )
  socket.destroy()
  await until(
    () => api.server.bodyBudget.bytesTaken === 0,
    () => 'room given back',
  )
  expect(api.log.health.integratedSize).toBe(before)
})

test('a chunk of a body that is none is a 400, at once', async () => {
  const { statuses, text } = await exchange([head({ 'transfer-encoding': 'chunked' }), 'zz\r\n{}\r\n'])
  expect(statuses).toEqual([400])
  expect(text).toContain('malformed-request')
})

test('a Content-Length shorter than the body ends the body there; the rest is no request', async () => {
  const { statuses, text } = await exchange([head({ 'content-length': String(good.length) }) + good + good], 2)
  expect(statuses).toEqual([201, 400])
  expect(text).toContain('malformed-request')
})

test.each([
  ['no HTTP at all', 'hello\r\n\r\n', 400, 'malformed-request'],
  ['two Content-Lengths', () => head({ 'content-length': '1', 'Content-length': '2' }), 400, 'malformed-request'],
  [
    'length and chunks',
    () => head({ 'content-length': '5', 'transfer-encoding': 'chunked' }),
    400,
    'malformed-request',
  ],
  ['a negative length', () => head({ 'content-length': '-1' }), 400, 'malformed-request'],
  ['no Host', 'GET /v1/log HTTP/1.1\r\n\r\n', 400, 'malformed-request'],
  ['another expectation', () => head({ expect: 'tea' }), 417, 'expectation-failed'],
  ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n', 400, 'malformed-request'],
  ['an unusable Host', 'GET /v1/log HTTP/1.1\r\nhost: a b\r\n\r\n', 400, 'malformed-request'],
  ['a huge path', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: a\r\n\r\n`, 431, 'headers-too-large'],
  ['a huge header', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
])('%s is answered as a problem', async (_, request, status, code) => {
  const { statuses, text } = await exchange([typeof request === 'string' ? request : request()])
  expect(statuses).toEqual([status])
  expect(text).toContain(code)
})

test('a probe that speaks HTTP/1.0, which has no Host, is answered', async () => {
  expect((await exchange(['GET /healthz HTTP/1.0\r\n\r\n'])).statuses).toEqual([200])
})

test('more bytes of bodies than there is room for are 503, and later ones are taken again', async () => {
  const tight = await openTestApi({ limits: { bodyBytesMax: bytesMax } })
  const share = 8 * bytesMax - 10
  tight.server.bodyBudget.take(share)
  const listening = await tight.listen()
  const send = (): Promise<Response> =>
    fetch(`http://127.0.0.1:${listening.port}/v1/entries`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tight.tokens.writer}`, 'content-type': 'application/json' },
      body: good,
    })
  try {
    const refused = await send()
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]$/)
    await refused.text()
    tight.server.bodyBudget.give(share)
    expect((await send()).status).toBe(201)
    await until(
      () => tight.server.bodyBudget.bytesTaken === 0,
      () => 'room given back',
    )
  } finally {
    await tight.close()
  }
})

test('what grows when it is written out is charged: 503 while others need the room, and taken when there is some', async () => {
  const tight = await openTestApi({ limits: { bodyBytesMax: bytesMax } })
  const payload = `{"n":[${Array(2_400).fill('1e20').join(',')}]}`
  const growing = `${good.replace(/"payload":.*/, '')}"payload":${payload}}`
  const body = `${Array(15).fill(growing).join('\n')}\n`
  const taken = 8 * bytesMax - body.length
  const listening = await tight.listen()
  const send = (): Promise<Response> =>
    fetch(`http://127.0.0.1:${listening.port}/v1/entries`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tight.tokens.writer}`, 'content-type': 'application/x-ndjson' },
      body,
    })
  try {
    tight.server.bodyBudget.take(taken)
    const refused = await send()
    expect({ status: refused.status, text: await refused.text() }).toMatchObject({ status: 503 })
    expect(tight.log.health.integratedSize).toBe(0)
    tight.server.bodyBudget.give(taken)
    expect(await (await send()).json()).toMatchObject({ accepted: 15 })
  } finally {
    await tight.close()
  }
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
