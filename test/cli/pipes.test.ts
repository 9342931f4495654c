import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { open, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder, run, spawnProgram } from './binary.ts'

const vkey = 'log.example.com/tlog+810baef7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4'
/** Who has written it knows that the other end is reading. */
const morePipesHold = Buffer.alloc(1_048_576, 'x')
let folder: string
/** Nobody writes into it. */
let pipe: string

beforeAll(async () => {
  folder = await makeFolder()
  pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
})
afterAll(() => removeFolder(folder))

test.each([
  ['check', 'PIPE', '--vkey', vkey],
  ['check', '/dev/zero', '--vkey', vkey],
  ['check', 'package.json', '--vkey-file', 'PIPE'],
  ['prove', '0', '--vkey', vkey, '--ca', 'PIPE'],
  ['tokens', 'list', '--token-file', 'PIPE'],
])('what is no regular file is not waited for: %s %s %s %s', async (...args) => {
  const { status, stdout, stderr } = await run(args.map((arg) => (arg === 'PIPE' ? pipe : arg)))
  expect([status, stdout + stderr]).toEqual([2, expect.stringMatching(/(pipe|\/dev\/zero): is no regular file/)])
})

test('a file is read up to a bound', async () => {
  const file = join(folder, 'large')
  await writeFile(file, Buffer.alloc(65_537))
  const { status, stdout } = await run(['check', 'x', '--vkey-file', file, '--json'])
  expect([status, JSON.parse(stdout)]).toMatchObject([2, { code: 'cannot-read', holds: null }])
  expect(stdout).toContain('has more than 65536 bytes')
})

test('SIGTERM ends check while it waits for standard input', async () => {
  const child = spawnProgram(['check', '-', '--vkey', vkey], {})
  const ended = once(child, 'close')
  await new Promise((resolve) => child.stdin?.write(morePipesHold, resolve))
  child.kill('SIGTERM')
  expect(await ended).toEqual([null, 'SIGTERM'])
})

test('SIGTERM ends append while it waits for a pipe', async () => {
  const limits = { bodyBytes: 65_536, records: 1_000 }
  const server = createServer((_, response) => response.end(JSON.stringify({ origin: 'log.example/pipes', limits })))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const tokenFile = join(folder, 'token')
  await writeFile(tokenFile, 'a-token', { mode: 0o600 })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const child = spawnProgram(['append', pipe, '--url', url, '--token-file', tokenFile], {})
  const ended = once(child, 'close')
  const writer = await open(pipe, 'w')
  await writer.writeFile(morePipesHold)
  child.kill('SIGTERM')
  expect(await ended).toEqual([null, 'SIGTERM'])
  await writer.close()
  server.close()
})
