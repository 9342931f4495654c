// A log whose P-256 key is in AWS KMS: an emulator that speaks its API, since there is no cloud here. It has no Ed25519.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openRemoteKey } from '../../src/signing/remote-key.ts'
import { makeFolder, removeFolder, run } from '../cli/binary.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/log.ts'
import { pythonWith } from '../support/python.ts'
import { type Environment, endAll, startServer, tryServer } from '../support/server-process.ts'

let folder: string
let emulator: ChildProcess
let client: KMSClient
let endpoint: string
let keyId: string
const credentials = {
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'secret-of-test',
  AWS_EC2_METADATA_DISABLED: 'true',
}

beforeAll(async () => {
  folder = await makeFolder()
  const python = await pythonWith('moto[server]==5.2.5', join(folder, 'python'))
  const port = await freePort()
  endpoint = `127.0.0.1:${port}`
  emulator = spawn(join(dirname(python), 'moto_server'), ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  Object.assign(process.env, credentials)
  client = new KMSClient({ endpoint: `http://${endpoint}`, region: 'us-east-1' })
  await until(
    () =>
      fetch(`http://${endpoint}/moto-api/data.json`).then(
        ({ ok }) => ok,
        () => false,
      ),
    () => 'the emulator does not answer',
    60_000,
  )
  const made = await client.send(new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }))
  keyId = made.KeyMetadata?.KeyId ?? ''
})
afterAll(async () => {
  client.destroy()
  emulator.kill('SIGKILL')
  if (emulator.exitCode === null && emulator.signalCode === null) await once(emulator, 'exit')
  await endAll(join(folder, 'data'))
  await removeFolder(folder)
})

const uri = (): string => `awskms://${endpoint}/${keyId}?plain=true`
const settings = (): Environment => ({ ...credentials, DENDROLOG_STH_KEY: uri(), DENDROLOG_VERIFIER: 'false' })

test('STHs and receipts are signed there; the key file says where, and which key it was', async () => {
  const server = await startServer(join(folder, 'data'), settings())
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  const post = (query = ''): Promise<Response> =>
    fetch(`${server.url}/v1/entries${query}`, {
      ...{ method: 'POST', headers },
      body: JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} }),
    })
  expect((await post()).status).toBe(201)
  expect((await post()).status).toBe(201)
  const { vkey, sthPublicKey } = (await (await fetch(`${server.url}/v1/log`)).json()) as Record<string, string>
  const cose = ['prove', '0', '--cose', '--vkey', `${vkey}`, '--sth-key', `${sthPublicKey}`, '--url', server.url]
  expect((await run([...cose, '--out', join(folder, 'x.cose')])).status).toBe(0)
  const file = await readFile(join(folder, 'data', 'keys', 'sth-key.pem'), 'utf8')
  expect(file).toBe(`${uri()}\n${sthPublicKey}\n`)
  // While nobody answers there nothing is published, and nothing is lost.
  emulator.kill('SIGSTOP')
  expect((await post('?wait=integrated')).status).toBe(201)
  await until(
    () => server.output().includes('it does not sign: '),
    () => server.output().slice(-3_000),
    40_000,
  )
  emulator.kill('SIGCONT')
  await until(
    async () => ((await (await fetch(`${server.url}/v1/log`)).json()) as { treeSize: number }).treeSize >= 3,
    () => server.output().slice(-3_000),
    40_000,
  )
  expect(await server.stop()).toBe(0)
  expect(server.output()).not.toContain('secret-of-test')
})

test('another key in its place signs nothing that is given away', async () => {
  const made = await client.send(new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }))
  const file = join(folder, 'data', 'keys', 'sth-key.pem')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(keyId, made.KeyMetadata?.KeyId ?? ''))
  const server = await startServer(join(folder, 'data'), settings())
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  await fetch(`${server.url}/v1/entries?wait=integrated`, { method: 'POST', headers, body })
  await until(
    () => server.output().includes('has another public key than when the log was made'),
    () => server.output().slice(-3_000),
  )
  await server.kill()
  await endAll(join(folder, 'data'))
})

test('a key of another kind, none, and nobody who answers are refused with what to mend', async () => {
  await expect(openRemoteKey(uri(), 'ed25519')).rejects.toThrow('want ed25519')
  await expect(openRemoteKey(`awskms://${endpoint}/alias/none?plain=true`, 'p256')).rejects.toThrow('NotFound')
  await expect(openRemoteKey('awskms://127.0.0.1:9/x?plain=true', 'p256')).rejects.toThrow('its public key: ')
  await expect(openRemoteKey('awskms:x', 'p256')).rejects.toThrow('want awskms:///KEY')
  const refused = await tryServer(join(folder, 'never'), { ...settings(), DENDROLOG_NOTE_KEY: uri() })
  expect(refused).toMatchObject({ status: 2, output: expect.stringContaining('want ed25519') })
  await endAll(join(folder, 'never'))
})
