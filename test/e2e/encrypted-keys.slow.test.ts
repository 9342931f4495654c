import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { type Environment, endAll, startServer, tryServer, waitUntilReady } from '../support/server-process.ts'

// A log whose key files are encrypted from the beginning, with its verifier.

const passphrase = 'correct horse battery staple'
let folder: string
let dataDir: string
let settings: Environment
beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  const secret = join(folder, 'passphrase')
  await writeFile(secret, `${passphrase}\n`)
  await chmod(secret, 0o600)
  settings = { DENDROLOG_KEY_PASSPHRASE_COMMAND: JSON.stringify(['cat', secret]), DENDROLOG_VERIFY_PROBE_SECONDS: '1' }
})
afterAll(async () => {
  await endAll(dataDir)
  await removeFolder(folder)
})

test('it is made, served, verified and started again with the passphrase, and by nobody without', async () => {
  const server = await startServer(dataDir, settings)
  await waitUntilReady(server)
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  expect((await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })).status).toBe(201)
  const environment = { ...settings, DENDROLOG_DATA_DIR: dataDir }
  const verified = await run(['verify', '--full', '--json'], environment)
  expect(verified).toMatchObject({ status: 0, stdout: expect.stringContaining('"isSecure":true') })
  expect(await server.stop()).toBe(0)
  expect(server.output()).not.toContain(passphrase)
  for (const name of ['note-key', 'sth-key.pem', 'seal-key']) {
    expect(await readFile(join(dataDir, 'keys', name), 'utf8')).toContain('dendrolog/sealed-secret/1')
  }
  const refused = await tryServer(dataDir)
  expect(refused).toMatchObject({ status: 2, output: expect.stringContaining('set DENDROLOG_KEY_PASSPHRASE_COMMAND') })
  const wrong = await tryServer(dataDir, { DENDROLOG_KEY_PASSPHRASE_COMMAND: '["echo","wrong"]' })
  expect(wrong).toMatchObject({ status: 2, output: expect.stringContaining('the passphrase does not open it') })
  const again = await startServer(dataDir, settings)
  expect((await fetch(`${again.url}/readyz`)).status).toBe(200)
  expect(await again.stop()).toBe(0)
}, 120_000)
