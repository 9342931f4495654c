import { spawn } from 'node:child_process'
import { createHash, type X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkTimeStampToken } from '../../src/anchor/check-token.ts'
import { decodeStampEvidence } from '../../src/anchor/evidence.ts'
import { readAnchorsOf, type StoredAnchor } from '../../src/store/anchors.ts'
import { readCheckpointsAfter } from '../../src/store/checkpoints.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { type BundleHead, decodeBundle, encodeBundle } from '../../tlog/bundle.ts'
import { type Finished, finished, makeFolder, removeFolder, run } from '../cli/binary.ts'
import { schema, until } from '../support/log.ts'
import { pythonWith } from '../support/python.ts'
import { adminConfig, endAll, type ServerProcess, startServer, tryServer } from '../support/server-process.ts'
import { startAuthority, type TestAuthority, testPolicy } from '../support/time-stamp-authority.ts'

// A server, and two time-stamp authorities, OpenSSL's.

let folder: string
let dataDir: string
let one: TestAuthority
let two: TestAuthority
let server: ServerProcess
let python: string

beforeAll(async () => {
  folder = await makeFolder()
  python = await pythonWith('cryptography==48.0.0', join(folder, 'python'))
  dataDir = join(folder, 'data')
  ;[one, two] = await Promise.all([startAuthority(), startAuthority({ keyType: 'rsa' })])
  await writeFile(join(folder, 'one.pem'), one.root)
  await writeFile(join(folder, 'two.pem'), two.root)
}, 120_000)
afterAll(async () => {
  await endAll(dataDir)
  await Promise.all([one.close(), two.close()])
  await removeFolder(folder)
})

async function start(...lines: string[]): Promise<ServerProcess> {
  const file = join(folder, 'authorities')
  await writeFile(file, `# ours\n${lines.join('\n')}\n`)
  return startServer(dataDir, {
    ...{ DENDROLOG_TIME_STAMPS: file, DENDROLOG_STAMP_SECONDS: '1', DENDROLOG_VERIFIER: 'false' },
    DENDROLOG_PUBLIC_METRICS: 'true',
  })
}

async function append(): Promise<void> {
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  const { status } = await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })
  expect(status).toBe(201)
}

async function metric(line: string): Promise<number | undefined> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found = text.split('\n').find((each) => each.startsWith(`dendrolog_${line} `))
  return found === undefined ? undefined : Number(found.split(' ').at(-1))
}

const stamped = (authority: string, size: number): Promise<void> =>
  until(
    async () => (await metric(`stamped_size{authority="${authority}"}`)) === size,
    () => server.output().slice(-2_000),
  )

/** Every anchor of the log, each checked against the checkpoint that it is of. */
async function checkAnchors(): Promise<readonly StoredAnchor[]> {
  const pool = openPool(await adminConfig(dataDir), 1, 10_000)
  try {
    const anchors = await readAnchorsOf(pool.query, schema, await readNumbers(pool), 100)
    for (const { checkpointNumber, evidence } of anchors) {
      const [checkpoint] = await readCheckpointsAfter(pool.query, schema, checkpointNumber - 1, 1)
      const { token, nonce, chain } = decodeStampEvidence(evidence)
      const sha256 = createHash('sha256')
        .update(checkpoint?.note ?? '')
        .digest()
      checkTimeStampToken(token, { sha256, nonce, roots: [chain.at(-1) as X509Certificate] })
    }
    return anchors
  } finally {
    await pool.close()
  }
}

async function readNumbers({ query }: Pool): Promise<readonly number[]> {
  return (await readCheckpointsAfter(query, schema, -1, 1_000)).map(({ number }) => number)
}

/** The second verifier, which shares nothing with the first. */
const verify = (file: string, vkey: string, ...args: string[]): Promise<Finished> =>
  finished(spawn(python, [join(import.meta.dirname, '../../deploy/verify.py'), file, '--vkey', vkey, ...args]))

test('each authority stamps what is new, and what it said can be checked from the database alone', async () => {
  server = await start(`one ${one.url} one.pem ${testPolicy}`, `two ${two.url} two.pem`)
  await append()
  await Promise.all([stamped('one', 1), stamped('two', 1)])
  expect(Math.abs((await metric('stamp_skew_seconds{authority="one"}')) ?? 9)).toBeLessThan(1)
  const anchors = await checkAnchors()
  expect(anchors.map(({ kind }) => kind).sort()).toEqual(['rfc3161/one', 'rfc3161/two'])
  // An idle log has nothing new, whatever it signs.
  const before = [one.asked(), two.asked()]
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  expect([one.asked(), two.asked()]).toEqual(before)
  expect(await server.stop()).toBe(0)
})

test('after a restart it goes on where it was; an authority that is away keeps the other from nothing', async () => {
  const before = one.asked()
  server = await start(`one ${one.url} one.pem ${testPolicy}`, 'two http://127.0.0.1:9/ two.pem')
  await append()
  await stamped('one', 2)
  expect(one.asked()).toBe(before + 1)
  expect(await metric('stamps_total{authority="two",outcome="failed"}')).toBeGreaterThan(0)
  expect(server.output()).toContain('no anchor')
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
  expect((await checkAnchors()).length).toBe(3)
  expect(await server.stop()).toBe(0)
})

test('an evidence bundle says before when its entry existed, by whom, and what is not proven', async () => {
  server = await start(`one ${one.url} one.pem ${testPolicy}`, `two ${two.url} two.pem`)
  const headers = { authorization: `Bearer ${server.tokens.auditor}` }
  const { vkey } = (await (await fetch(`${server.url}/v1/log`)).json()) as { vkey: string }
  const file = join(folder, 'one.evidence')
  const bytes = Buffer.from(await (await fetch(`${server.url}/v1/entries/1/evidence`, { headers })).arrayBuffer())
  await writeFile(file, bytes)
  const roots = join(folder, 'roots.pem')
  await writeFile(roots, `${one.root}${two.root}`)
  const trusted = await run(['check', file, '--vkey', vkey, '--roots', roots])
  expect(trusted).toMatchObject({ status: 0, stderr: '' })
  expect(
    trusted.stdout.match(/existed before 20\d\d-.*Z, says time-stamp authority "CN=Test TSA" of the tree/g)?.length,
  ).toBeGreaterThanOrEqual(2)
  expect(trusted.stdout).not.toContain('own word')
  expect(trusted.stdout).toContain('NOT checked: who has cosigned it')
  const untrusted = JSON.parse((await run(['check', file, '--vkey', vkey, '--json'])).stdout) as {
    bundle: { stamps: { isTrusted: boolean }[] }
  }
  expect(new Set(untrusted.bundle.stamps.map(({ isTrusted }) => isTrusted))).toEqual(new Set([false]))
  const second = await verify(file, vkey, '--roots', roots)
  expect(second).toMatchObject({ status: 0, stderr: '' })
  expect(
    second.stdout.match(/existed before 20\d\d-.*Z, says 'CN=Test TSA' of the tree/g)?.length,
  ).toBeGreaterThanOrEqual(2)
  expect((await verify(file, vkey)).stdout).toContain("by certificates that are this file's own word")
  // Whoever swaps the token of another checkpoint in, and writes the hash anew, is caught.
  const bundle = decodeBundle(bytes)
  const later = decodeBundle(
    new Uint8Array(await (await fetch(`${server.url}/v1/entries/2/evidence`, { headers })).arrayBuffer()),
  )
  const [head, other] = [bundle.heads[0] as BundleHead, later.heads[0] as BundleHead]
  await writeFile(file, encodeBundle({ ...bundle, heads: [{ ...head, stamps: other.stamps }] }))
  expect(await run(['check', file, '--vkey', vkey, '--roots', roots])).toMatchObject({
    ...{ status: 1, stdout: expect.stringContaining('time stamp of one: time stamp: it is of something else') },
  })
  expect(await verify(file, vkey, '--roots', roots)).toMatchObject({
    ...{ status: 1, stdout: expect.stringContaining('a token of something else') },
  })
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
  await writeFile(file, bytes)
  expect((await run(['check', file, '--vkey', vkey])).status).toBe(2)
  expect((await verify(file, vkey)).status).toBe(2)
  expect(await server.stop()).toBe(0)
})

test.each([
  ['one http://127.0.0.1:9/', 'line 2: want NAME URL ROOTS [POLICY]'],
  ['one ftp://127.0.0.1/ one.pem', 'want an http:// or https:// URL'],
  ['one http://127.0.0.1:9/ nothing.pem', 'line 2: ENOENT'],
  ['one http://127.0.0.1:9/ one.pem policy', 'want an object identifier'],
])('a file with %s keeps it from starting, and is told', async (line, reason) => {
  const file = join(folder, 'bad')
  await writeFile(file, `# ours\n${line}\n`)
  const refused = await tryServer(dataDir, { DENDROLOG_TIME_STAMPS: file })
  expect(refused).toMatchObject({ status: 2, output: expect.stringContaining(reason) })
})
