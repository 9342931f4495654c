import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openFetch } from '../../src/cli/server-fetch.ts'
import {
  makeFolder,
  printedCommands,
  type RunningServer,
  removeFolder,
  run,
  runShell,
  startServer,
} from '../cli/binary.ts'
import { makePair, type PairFile, writePair } from '../support/certificates.ts'
import { until } from '../support/log.ts'

// The real binary behind its own certificate.

let folder = ''
let dataDir = ''
let files: PairFile
let server: RunningServer | undefined
let errors = ''
beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  files = await writePair(folder, await makePair({ days: 10 }))
  server = await startServer(dataDir, {
    ...{
      HOST: '0.0.0.0',
      DENDROLOG_TLS_CERT: files.cert,
      DENDROLOG_TLS_KEY: files.key,
      DENDROLOG_PUBLIC_METRICS: 'true',
    },
  })
  server.child.stderr?.on('data', (chunk) => {
    errors += chunk
  })
})
afterAll(async () => {
  await server?.stop()
  await removeFolder(folder)
})

const running = (): RunningServer => server as RunningServer

async function readExpiry(): Promise<number> {
  const fetch = await openFetch(files.cert)
  const text = await (await fetch(`${running().url}/metrics`, {})).text()
  return Number(/^dendrolog_tls_certificate_expires_timestamp_seconds (\S+)$/m.exec(text)?.[1])
}

test('HOST may be any address, and what is printed can be pasted', async () => {
  expect(running().url).toMatch(/^https:\/\/localhost:\d+$/)
  const { append, check } = printedCommands(running().stdout)
  expect(append).toContain(`--cacert '${files.cert}' https://localhost:`)
  expect(await runShell(append, folder)).toMatchObject({ status: 0, stderr: '' })
  expect(await runShell(check, folder)).toMatchObject({ status: 0, stdout: expect.stringContaining('holds: entry 1 ') })
})

const event = '{"actorId":"a","action":"b","resource":"c","payload":{}}\n'

test('append believes the CA that it is told, or that Node is told', async () => {
  const args = ['append', '-', '--url', running().url, '--token-file', join(dataDir, 'tokens.json')]
  expect(await run([...args, '--ca', files.cert], {}, event)).toMatchObject({ status: 0 })
  expect(await run(args, { NODE_EXTRA_CA_CERTS: files.cert }, event)).toMatchObject({ status: 0 })
})

test('the settings of a server with a certificate are enough for the commands that speak to it', async () => {
  const { port } = new URL(running().url)
  const settings = { DENDROLOG_DATA_DIR: dataDir, PORT: port, HOST: '0.0.0.0', DENDROLOG_TLS_CERT: files.cert }
  expect(await run(['append', '-'], settings, event)).toMatchObject({ status: 0 })
  expect(await run(['tokens', 'list'], settings)).toMatchObject({ status: 0 })
  const vkey = /--vkey '([^']+)'/.exec(running().stdout)?.[1] ?? ''
  expect(await run(['prove', '0', '--vkey', vkey], settings)).toMatchObject({ status: 0 })
})

test('plain HTTP to a port that speaks HTTPS is answered with the URL to use', async () => {
  const { port } = new URL(running().url)
  const args = ['--url', `http://127.0.0.1:${port}`, '--token-file', join(dataDir, 'tokens.json')]
  const advice = `if it speaks HTTPS: --url https://127.0.0.1:${port}`
  const append = await run(['append', '-', ...args, '--retry-for', '1'], {}, event)
  expect(append).toMatchObject({ status: 2, stderr: expect.stringContaining(advice) })
  expect((await run(['tokens', 'list', ...args])).stderr).toContain(advice)
})

test('append gives up at once where it does not believe the certificate, and says what to do', async () => {
  const args = ['append', '-', '--url', running().url, '--token-file', join(dataDir, 'tokens.json')]
  const other = join(folder, 'other.pem')
  await writeFile(other, (await makePair()).cert)
  for (const ca of [[], ['--ca', other]]) {
    const { status, stderr } = await run([...args, ...ca], {}, event)
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(/SELF_SIGNED_CERT.*; see --ca/) })
  }
  const missing = await run([...args, '--ca', join(folder, 'none')], {}, event)
  expect(missing).toMatchObject({ status: 2, stderr: expect.stringContaining('--ca: ') })
})

test('a renewed certificate is used after SIGHUP without a restart, a broken one is not', async () => {
  const before = await readExpiry()
  const key = await readFile(files.key, 'utf8')
  await writeFile(files.key, 'broken')
  running().child.kill('SIGHUP')
  await until(
    () => errors.includes('the new certificate is not used'),
    () => 'the refusal',
  )
  await writeFile(files.key, key)
  expect(await readExpiry()).toBe(before)
  await writePair(folder, await makePair({ days: 40 }))
  running().child.kill('SIGHUP')
  await until(
    () => errors.includes('new connections get the new certificate'),
    () => 'the renewal',
  )
  expect(Math.round(((await readExpiry()) - before) / 86_400)).toBe(30)
  expect(errors).not.toContain('PRIVATE KEY')
})

test('a certificate that cannot be used ends the start by its setting, before anything is made', async () => {
  const never = join(folder, 'never')
  const settings = { DENDROLOG_DATA_DIR: never, PORT: '0', DENDROLOG_TLS_CERT: files.cert }
  const other = join(folder, 'other-key.pem')
  await writeFile(other, (await makePair()).key, { mode: 0o600 })
  const { status, stderr } = await run(['serve'], { ...settings, DENDROLOG_TLS_KEY: other })
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: expect.stringMatching(/^dendrolog serve: DENDROLOG_TLS_KEY: .* is not the key of the certificate in /),
  })
  expect(await run(['serve'], settings)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('DENDROLOG_TLS_KEY: is missing'),
  })
  await expect(readFile(join(never, 'tokens.json'))).rejects.toThrow('ENOENT')
})
