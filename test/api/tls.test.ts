import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readerTimes } from '../../api/slow-readers.ts'
import { renewPair } from '../../api/tls.ts'
import { openTestApi, submissionWith, type TestApi, type TestListener } from '../support/api.ts'
import { makePair, type TestPair } from '../support/certificates.ts'
import { until } from '../support/log.ts'

// HTTPS keeps what plain HTTP has: bounds, problems, and an end.

let api: TestApi
let pair: TestPair
let listener: TestListener
beforeAll(async () => {
  api = await openTestApi()
  pair = await makePair()
  listener = await api.listen({ checkMs: 50, stalledMs: 2_000 }, pair)
  await api.post(submissionWith({ payload: { a: 'x'.repeat(1_000_000) } }))
})
afterAll(() => api.close())

async function open(version: SecureVersion = 'TLSv1.3', ca = pair.cert): Promise<TLSSocket> {
  const { port } = listener
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca,
    maxVersion: version,
    minVersion: version,
  })
  await once(socket, 'secureConnect')
  socket.on('error', () => {})
  return socket
}

/** What the server sends until it ends the connection. */
async function readToEnd(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  const [hadError] = (await once(socket, 'close')) as [boolean]
  return `${text}${hadError ? '(reset)' : ''}`
}

function countConnections({ http }: TestListener): Promise<number> {
  return new Promise((resolve, reject) => {
    http.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
  })
}

async function untilConnections(at: TestListener, want: number): Promise<void> {
  await until(
    async () => (await countConnections(at)) === want,
    () => `${want} connections`,
  )
}

const getLog = 'GET /v1/log HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'

test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s is spoken, with forward secrecy', async (version) => {
  const socket = await open(version)
  expect(socket.getCipher().name).toMatch(/^(ECDHE|TLS)_?-?.*(GCM|CHACHA20)/)
  expect(socket.alpnProtocol === false || socket.alpnProtocol === 'http/1.1').toBe(true)
  socket.write(getLog)
  expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 200 [\s\S]*test\.example\/log/)
})

test('TLS 1.1 is not spoken', async () => {
  const { port } = listener
  const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...old })
  const [error] = (await once(socket, 'error')) as [Error]
  expect(error.message).toMatch(/alert|version|protocol/i)
})

test('plain HTTP on the port of TLS is ended, not reset, and answered nothing', async () => {
  const socket = connect(listener.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(getLog)
  const text = await readToEnd(socket)
  expect(text).not.toContain('HTTP/')
  expect(text).not.toContain('(reset)')
  await untilConnections(listener, 0)
})

test.each([
  ['says nothing', ''],
  ['sends the beginning of a handshake', Buffer.from('1603010200010001fc0303', 'hex')],
])('a client that %s is cut when the time for a handshake is over', async (_, bytes) => {
  const hasty = await api.listen({ ...readerTimes, handshakeMs: 200 }, pair)
  const socket = connect(hasty.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  if (bytes.length > 0) socket.write(bytes)
  await readToEnd(socket)
  await untilConnections(hasty, 0)
})

test('what is no request is answered by a problem', async () => {
  const socket = await open()
  socket.write('hello\r\n\r\n')
  expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 400 [\s\S]*malformed-request/)
})

test('a renewed certificate is for new connections; those that are open go on', async () => {
  const before = await open()
  const renewed = await makePair()
  renewPair(listener.http, renewed)
  await expect(open('TLSv1.3', pair.cert)).rejects.toThrow()
  const after = await open('TLSv1.2', renewed.cert)
  for (const socket of [before, after]) {
    socket.write(getLog)
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 200 /)
  }
  renewPair(listener.http, pair)
})

test('who does not read an answer is cut, and what was held for it is given back', async () => {
  const socket = await open()
  const authorization = `authorization: Bearer ${api.tokens.auditor}`
  socket.write(`GET /v1/entries/1 HTTP/1.1\r\nhost: localhost\r\n${authorization}\r\n\r\n`.repeat(32))
  const { readBudget } = api.server
  await until(
    () => readBudget.bytesTaken > 5_000_000,
    () => 'answers that wait',
  )
  await until(
    () => readBudget.bytesTaken === 0,
    () => `the cut: ${readBudget.bytesTaken} bytes are held`,
  )
  socket.destroy()
})

test('a client in the middle of its handshake does not keep the server from closing', async () => {
  const closing = await api.listen(readerTimes, pair)
  const socket = connect(closing.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  await untilConnections(closing, 1)
  await closing.close(Promise.resolve())
  expect(await countConnections(closing)).toBe(0)
  socket.destroy()
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})
