import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'

/** More than the kernel holds for a client that does not read. */
const answers = 32

let api: TestApi
let port: number
beforeAll(async () => {
  api = await openTestApi()
  port = (await api.listen({ checkMs: 50, stalledMs: 2_000 })).port
  await api.post(submissionWith({ payload: { a: 'x'.repeat(1_000_000) } }))
})
afterAll(() => api.close())

/** Asks for one entry many times at once and reads nothing of it. */
async function ask(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  const authorization = `authorization: Bearer ${api.tokens.auditor}`
  socket.write(`GET /v1/entries/1 HTTP/1.1\r\nhost: localhost\r\n${authorization}\r\n\r\n`.repeat(answers))
  return socket
}

test('who does not read an answer is cut, and what was held for it is given back', async () => {
  const socket = await ask()
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

test('who reads slowly is not cut', async () => {
  const socket = await ask()
  let text = ''
  let isCut = false
  socket.on('close', () => {
    isCut = true
  })
  const count = (): number => text.split('HTTP/1.1 ').length - 1
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    socket.pause()
  })
  while (!isCut && (count() < answers || !text.endsWith('}'))) {
    await sleep(10)
    socket.resume()
  }
  expect([isCut, count()]).toEqual([false, answers])
  socket.destroy()
})
