// Checkpoints are put into other logs: a second Dendrolog, and Tessera's reference server with `POST /add` and tiles.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ed25519SignerFromSeed, generateEd25519Seed } from '../../src/ops/signing.ts'
import { ed25519KeyType, formatSkey, formatVkey, namedKey, namedSeed } from '../../tlog/note-key.ts'
import { run } from '../cli/binary.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/log.ts'
import { pythonWith } from '../support/python.ts'
import { endAll, type ServerProcess, startServer, tryServer } from '../support/server-process.ts'
import { buildPrograms, runProgram } from './programs.ts'

let folder: string
let python: string
let tessera: ChildProcess
let outside: ServerProcess
let server: ServerProcess
let tesseraUrl: string
let keys: { readonly tessera: string; readonly outside: string; readonly own: string }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-anchors-'))
  await buildPrograms(folder)
  python = await pythonWith('cryptography==48.0.0', join(folder, 'python'))
  const seed = generateEd25519Seed()
  const publicKeyOf = (of: Uint8Array): Uint8Array => ed25519SignerFromSeed(of).publicKey
  await writeFile(join(folder, 'key'), formatSkey(namedSeed('tessera.example', ed25519KeyType, seed, publicKeyOf)))
  const port = await freePort()
  tesseraUrl = `http://127.0.0.1:${port}/`
  const storage = join(folder, 'tessera')
  const args = [`--storage_dir=${storage}`, `--private_key=${join(folder, 'key')}`, `--listen=127.0.0.1:${port}`]
  tessera = spawn(join(folder, 'posix'), args, { stdio: 'ignore' })
  outside = await startServer(join(folder, 'outside'), {
    DENDROLOG_ORIGIN: 'outside.example',
    DENDROLOG_VERIFIER: 'false',
  })
  const first = await startServer(join(folder, 'data'), {
    DENDROLOG_ORIGIN: 'log.example',
    DENDROLOG_VERIFIER: 'false',
  })
  keys = {
    tessera: formatVkey(namedKey('tessera.example', ed25519KeyType, publicKeyOf(seed))),
    ...{ outside: await vkeyOf(outside), own: await vkeyOf(first) },
  }
  await first.stop()
})

afterAll(async () => {
  tessera.kill('SIGKILL')
  if (tessera.exitCode === null && tessera.signalCode === null) await once(tessera, 'exit')
  await endAll(join(folder, 'data'))
  await endAll(join(folder, 'outside'))
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
})

async function vkeyOf({ url }: ServerProcess): Promise<string> {
  return ((await (await fetch(`${url}/v1/log`)).json()) as { vkey: string }).vkey
}

async function writeLogs(...lines: string[]): Promise<string> {
  const file = join(folder, 'logs')
  await writeFile(file, `# ours\n${lines.join('\n')}\n`)
  return file
}

async function stampedSize(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(new RegExp(`^dendrolog_stamped_size\\{authority="${name}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
}

test('checkpoints stand in both, by proofs that are kept and checked offline by two programs', async () => {
  const token = join(folder, 'token')
  await writeFile(token, outside.tokens.writer, { mode: 0o600 })
  const file = await writeLogs(
    `dendrolog second ${outside.url} ${keys.outside} token`,
    `tlog tessera ${tesseraUrl} ${keys.tessera}`,
  )
  server = await startServer(join(folder, 'data'), {
    ...{ DENDROLOG_ANCHOR_LOGS: file, DENDROLOG_STAMP_SECONDS: '1', DENDROLOG_VERIFIER: 'false' },
    DENDROLOG_PUBLIC_METRICS: 'true',
  })
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })
  await until(
    async () => (await stampedSize('second')) > 0 && (await stampedSize('tessera')) > 0,
    () => server.output().slice(-3_000),
  )
  const bundle = await fetch(`${server.url}/v1/entries/1/evidence`, {
    headers: { authorization: `Bearer ${server.tokens.auditor}` },
  })
  const evidence = join(folder, 'one.evidence')
  await writeFile(evidence, Buffer.from(await bundle.arrayBuffer()))
  const known = ['--vkey', keys.own, '--anchor-log', keys.outside, '--anchor-log', keys.tessera]
  const checked = await run(['check', evidence, ...known])
  expect(checked).toMatchObject({ status: 0, stderr: '' })
  for (const name of ['outside.example', 'tessera.example']) {
    expect(checked.stdout).toMatch(new RegExp(`the tree of size \\d+ stands in the log "${name}" at index \\d+\\n`))
  }
  const args = [join(import.meta.dirname, '../../deploy/verify.py'), evidence, ...known]
  const second = await runProgram(python, args, { limitMs: 30_000 })
  expect(second).toMatchObject({ status: 0, stderr: '' })
  for (const name of ['outside.example', 'tessera.example']) {
    expect(second.stdout).toMatch(new RegExp(`the tree of size \\d+ stands in the log '${name}' at index \\d+\\n`))
  }
  const untrusting = await run(['check', evidence, '--vkey', keys.own])
  expect(untrusting.stdout.match(/own word: give --anchor-log/g)).toHaveLength(2)
  expect(await server.stop()).toBe(0)
})

test.each([
  [() => `dendrolog self ${outside.url} ${keys.own}`, 'it is this log itself'],
  [() => `ledger second ${outside.url} ${keys.outside}`, 'KIND: want dendrolog or tlog'],
  [() => `tlog second ${outside.url} ${keys.outside} none`, 'line 2: ENOENT'],
  [() => `tlog second ${outside.url}`, 'want KIND NAME URL VKEY'],
])('a bad line keeps it from starting, and is told', async (line, reason) => {
  const refused = await tryServer(join(folder, 'data'), { DENDROLOG_ANCHOR_LOGS: await writeLogs(line()) })
  expect(refused).toMatchObject({ status: 2, output: expect.stringContaining(reason) })
})
