import { chmod, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { type Finished, makeFolder, removeFolder, run } from './binary.ts'

let api: TestApi
let folder: string
let port: string
beforeAll(async () => {
  api = await openTestApi()
  folder = await makeFolder()
  port = String((await api.listen()).port)
  await writeFile(join(folder, 'tokens.json'), JSON.stringify(api.tokens), { mode: 0o600 })
})
afterAll(async () => {
  await api.close()
  await removeFolder(folder)
})

/** As whoever sits at the server: its data folder and port are set. */
function tokens(...args: string[]): Promise<Finished> {
  return run(['tokens', ...args], { DENDROLOG_DATA_DIR: folder, PORT: port }, '', folder)
}

async function post(secret: string): Promise<number> {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  const body = JSON.stringify(submissionWith())
  return (await api.app.request('/v1/entries', { method: 'POST', headers, body })).status
}

test('the secret of a new token is alone on standard output, and works until the token is revoked by its name', async () => {
  const made = await tokens('make', 'shipper', '--role', 'writer', '--scope', 'entries:submit', '--entries', '1000')
  expect([made.status, made.stdout]).toEqual([0, expect.stringMatching(/^dendrolog_[\w-]{43}\n$/)])
  expect(made.stderr).toContain('shipper')
  expect(await post(made.stdout.trim())).toBe(201)
  const { stdout } = await tokens('list')
  expect(stdout.split('\n')[0]).toMatch(/^NAME +ROLE +SCOPES +STATE +REQUESTS\/S +ENTRIES\/S +LAST USED +EXPIRES +ID$/)
  expect(stdout).toMatch(/^shipper +writer +entries:submit +live +default +1000 /m)
  expect(stdout).not.toContain('dendrolog_')
  expect((await tokens('revoke', 'shipper')).status).toBe(0)
  expect(await post(made.stdout.trim())).toBe(401)
  expect((await tokens('list')).stdout).not.toContain('shipper')
  expect((await tokens('list', '--all')).stdout).toMatch(/^shipper +writer +entries:submit +revoked /m)
})

test('--out keeps the secret in a new file of mode 0600, and never in one that is there', async () => {
  const file = join(folder, 'billing.token')
  const made = await tokens('make', 'billing', '--role', 'writer', '--out', file, '--json')
  expect(made.status).toBe(0)
  expect(JSON.parse(made.stdout)).toMatchObject({ token: { name: 'billing', state: 'live' } })
  expect(made.stdout).not.toContain('dendrolog_')
  expect((await stat(file)).mode % 0o1000).toBe(0o600)
  const secret = await readFile(file, 'utf8')
  expect(await post(secret.trim())).toBe(201)
  const again = await tokens('make', 'other', '--role', 'writer', '--out', file)
  expect([again.status, again.stdout]).toEqual([2, ''])
  expect(again.stderr).toContain('is there already')
  expect(await readFile(file, 'utf8')).toBe(secret)
  const refused = await tokens('make', 'billing', '--role', 'writer', '--out', `${file}.2`)
  expect(refused.status).toBe(2)
  await expect(stat(`${file}.2`)).rejects.toThrow('ENOENT')
})

test('a token expires when it is told to, and JSON says so', async () => {
  const made = JSON.parse((await tokens('make', 'guest', '--role', 'auditor', '--json')).stdout)
  expect(made).toMatchObject({ token: { name: 'guest', expiresAt: null }, secret: expect.any(String) })
  const expired = await tokens('expire', made.token.id, '--at', '2200-01-01T00:00:00Z', '--json')
  expect(JSON.parse(expired.stdout)).toMatchObject({ token: { expiresAt: '2200-01-01T00:00:00.000000Z' } })
})

test('what the server refuses for good is 2 with a code, what could not be asked is 2', async () => {
  const last = await tokens('revoke', 'admin', '--json')
  expect([last.status, JSON.parse(last.stdout).code]).toEqual([2, 'last-admin'])
  expect((await tokens('revoke', 'nobody')).status).toBe(2)
  expect((await tokens('make', 'x', '--role', 'king')).status).toBe(2)
  expect((await tokens('expire', 'writer', '--at', 'tomorrow')).stderr).toContain('RFC 3339')
  const [away, writer] = [
    ['--url', 'http://127.0.0.1:1'],
    ['--token-file', join(folder, 'writer.token')],
  ]
  await writeFile(join(folder, 'writer.token'), api.tokens.writer, { mode: 0o600 })
  for (const [more, reason] of [
    [away, 'no answer'],
    [writer, 'want the token of an administrator'],
  ] as const) {
    const { status, stderr } = await tokens('list', ...more)
    expect([status, stderr]).toEqual([2, expect.stringContaining(reason)])
  }
})

test('a token file that others may read is refused, also behind a link', async () => {
  const [file, link] = [join(folder, 'tokens.json'), join(folder, 'link.json')]
  await symlink(file, link)
  await chmod(file, 0o644)
  const seen = [await tokens('list'), await tokens('list', '--token-file', link)]
  await chmod(file, 0o600)
  const reason = `token file ${file}: others may read it (mode 644): chmod 600`
  for (const each of seen) expect(each).toMatchObject({ status: 2, stderr: expect.stringContaining(reason) })
  expect((await tokens('list', '--token-file', link)).status).toBe(0)
})

test.each([
  [[], 'want make, list'],
  [['make'], 'make: want a name'],
  [['make', 'x'], 'want --role'],
  [['make', 'x', '--role', 'writer', '--at', 'now'], 'make takes no --at'],
  [['make', 'x', '--role', 'writer', '--requests', '-1'], '--requests'],
  [['list', 'x'], 'list: want no name'],
  [['expire', 'x'], 'want --at'],
])('%j is bad use', async (args, reason) => {
  const { status, stderr } = await tokens(...args)
  expect([status, stderr]).toEqual([2, expect.stringContaining(reason)])
})
