// A log whose keys are in a token behind PKCS#11. Run by `.ci/run`, or:
//   npm i --no-save pkcs11js@2.1.7 && DENDROLOG_TEST_SOFTHSM=… npx vitest run --config test/elsewhere/vitest.config.ts
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { type Environment, endAll, type ServerProcess, startServer, tryServer } from '../support/server-process.ts'
import { makeSoftToken, type SoftToken } from './soft-token.ts'

const root = process.env.DENDROLOG_TEST_SOFTHSM ?? ''
let folder: string
let token: SoftToken
let settings: Environment
let server: ServerProcess

beforeAll(async () => {
  folder = await makeFolder()
  if (root === '') return
  token = await makeSoftToken(root, folder)
  settings = {
    ...token.environment,
    ...{ DENDROLOG_NOTE_KEY: token.uri('note'), DENDROLOG_STH_KEY: token.uri('sth'), DENDROLOG_VERIFIER: 'false' },
  }
})
afterAll(async () => {
  await endAll(join(folder, 'data'))
  await removeFolder(folder)
})

async function post(query = ''): Promise<Response> {
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  return fetch(`${server.url}/v1/entries${query}`, { method: 'POST', headers, body })
}

test.skipIf(root === '')('notes, STHs, receipts and acts are signed by the token alone', async () => {
  server = await startServer(join(folder, 'data'), settings)
  const receipt = join(folder, 'receipt.json')
  const answer = await post()
  expect(answer.status).toBe(201)
  await writeFile(receipt, await answer.text())
  const { vkey, sthPublicKey } = (await (await fetch(`${server.url}/v1/log`)).json()) as Record<string, string>
  expect((await run(['check', receipt, '--vkey', `${vkey}`])).status).toBe(0)
  await post()
  const cose = ['prove', '0', '--cose', '--vkey', `${vkey}`, '--sth-key', `${sthPublicKey}`, '--url', server.url]
  expect((await run([...cose, '--out', join(folder, 'x.cose')])).status).toBe(0)
  for (const name of ['note-key', 'sth-key.pem']) {
    expect(await readFile(join(folder, 'data', 'keys', name), 'utf8')).toMatch(/^pkcs11:token=dendrolog;object=/)
  }
  const made = await fetch(`${server.url}/v1/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.admin}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'another', role: 'writer', scopes: ['entries:submit'] }),
  })
  expect(made.status).toBe(201)
  const whole = await run(['verify', '--full', '--json'], { ...settings, DENDROLOG_DATA_DIR: join(folder, 'data') })
  expect(whole).toMatchObject({ status: 0, stdout: expect.stringContaining('"isSecure":true') })
  expect(await server.stop()).toBe(0)
  expect(server.output()).not.toContain('5678-secret')
})

test.skipIf(root === '')('without the token entries are durable and nothing is signed, until it is back', async () => {
  await rename(token.folder, `${token.folder}-away`)
  server = await startServer(join(folder, 'data'), settings)
  const sizes = async (): Promise<Readonly<Record<string, number>>> =>
    (await (await fetch(`${server.url}/readyz`)).json()) as Readonly<Record<string, number>>
  const before = (await sizes()).publishedSize ?? 0
  expect((await post('?wait=integrated')).status).toBe(201)
  await until(
    () => server.output().includes('it cannot be opened'),
    () => server.output(),
  )
  expect(await sizes()).toMatchObject({ publishedSize: before })
  await rename(`${token.folder}-away`, token.folder)
  await until(
    async () => ((await sizes()).publishedSize ?? 0) > before,
    () => server.output().slice(-3_000),
    40_000,
  )
  expect((await post()).status).toBe(201)
  expect(await server.stop()).toBe(0)
})

test.skipIf(root === '').each([
  [
    'a wrong PIN',
    (uri: string, bad: string) => uri.replace(/pin-source=.*/, `pin-source=file:${bad}`),
    /CKR_PIN_INCORRECT/,
  ],
  ['no such token', (uri: string) => uri.replace('token=dendrolog', 'token=other'), /there is no token "other"/],
  ['no such key', (uri: string) => uri.replace('object=note', 'object=nothing'), /no key of this name/],
  ['the key of another kind', (uri: string) => uri.replace('object=note', 'object=sth'), /want 32|CKR_/],
])('%s keeps a log from being made, and is told', async (_, alter, reason) => {
  const bad = join(folder, 'bad-pin')
  await writeFile(bad, '0000\n')
  const data = join(folder, 'never')
  const refused = await tryServer(data, { ...settings, DENDROLOG_NOTE_KEY: alter(token.uri('note'), bad) })
  expect(refused).toMatchObject({ status: 2, output: expect.stringMatching(reason) })
  expect(JSON.stringify(refused)).not.toContain('5678-secret')
  await endAll(data)
})
