import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { finished, makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { pythonWith } from '../support/python.ts'
import { type Environment, endAll, type ServerProcess, startServer, tryServer } from '../support/server-process.ts'
import { startWitnessProgram, type WitnessProcess } from '../support/witness-program.ts'

// A server and three witnesses as programs of their own, by the README.

let folder: string
let dataDir: string
let policy: string
let witnesses: WitnessProcess[] = []
let server: ServerProcess

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  policy = join(folder, 'policy')
  const first = await startServer(dataDir, { DENDROLOG_ORIGIN: 'log.example/e2e' })
  const { vkey } = (await (await fetch(`${first.url}/v1/log`)).json()) as { vkey: string }
  await first.stop()
  for (const n of [1, 2, 3]) {
    // The third has both kinds of keys.
    const kinds = n === 3 ? [] : ['--keys', 'ed25519']
    await run(['witness', 'init', '--name', `w${n}.example`, ...kinds, '--data', folderOf(n)])
    await run(['witness', 'add-log', vkey, '--data', folderOf(n)])
    witnesses.push(await startWitnessProgram(folderOf(n)))
  }
  const lines = witnesses.map(({ url, vkeys }, i) => `witness w${i + 1} ${vkeys.at(-1)} ${url}`)
  await writeFile(policy, `log ${vkey}\n${lines.join('\n')}\ngroup two 2 w1 w2 w3\nquorum two\n`)
}, 120_000)
afterAll(async () => {
  for (const { child, ended } of witnesses) {
    child.kill('SIGKILL')
    await ended
  }
  await endAll(dataDir)
  await removeFolder(folder)
})

const folderOf = (n: number): string => join(folder, `w${n}`)

function settings(publish: string): Environment {
  return {
    ...{ DENDROLOG_WITNESS_POLICY: policy, DENDROLOG_PUBLISH: publish, DENDROLOG_WITNESS_TIMEOUT_MS: '1000' },
    ...{ DENDROLOG_PUBLIC_METRICS: 'true', DENDROLOG_VERIFIER: 'false' },
  }
}

async function post(wait: string): Promise<{ readonly status: number; readonly json: Record<string, unknown> }> {
  const body = JSON.stringify({ actorId: 'alice', action: 'a', resource: 'r', payload: {} })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  const response = await fetch(`${server.url}/v1/entries?wait=${wait}`, { method: 'POST', headers, body })
  return { status: response.status, json: (await response.json()) as Record<string, unknown> }
}

const signers = (note: unknown): readonly string[] =>
  [...String(note).matchAll(/^\u2014 (\S+) /gm)].map(([, name]) => String(name)).sort()

async function metric(line: string): Promise<number | undefined> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found = text.split('\n').find((each) => each.startsWith(`dendrolog_${line} `))
  return found === undefined ? undefined : Number(found.split(' ').at(-1))
}

describe('published at once', () => {
  test('a receipt under two cosignatures; one of them post-quantum comes along', async () => {
    server = await startServer(dataDir, settings('at-once'))
    const { status, json } = await post('witnessed')
    expect(status).toBe(201)
    expect(signers(json.checkpoint).length).toBeGreaterThanOrEqual(3)
    await until(
      async () => signers(await (await fetch(`${server.url}/checkpoint`)).text()).length === 4,
      () => server.output(),
    )
    expect(await metric('witnessed_size')).toBe(1)
    expect(await metric('witness_answers_total{witness="w3",answer="cosigned"}')).toBeGreaterThan(0)
    const receipt = join(folder, 'receipt.json')
    await writeFile(receipt, JSON.stringify(json))
    const { vkey } = (await (await fetch(`${server.url}/v1/log`)).json()) as { vkey: string }
    const checked = await run(['check', receipt, '--vkey', vkey, '--policy', policy])
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringMatching(/cosigned by w\d at 20.+Z, w\d at /) })
    const proof = await fetch(`${server.url}/v1/entries/1/proof?under=witnessed`, { headers: { accept: 'text/plain' } })
    await writeFile(join(folder, 'one.tlog-proof'), await proof.text())
    const check = ['check', join(folder, 'one.tlog-proof'), '--vkey', vkey, '--policy', policy, '--json']
    const said = await run(check)
    expect(JSON.parse(said.stdout), said.stdout).toMatchObject({
      ...{ holds: true, cosigned: expect.arrayContaining([expect.objectContaining({ witness: 'w2' })]) },
    })
    const headers = { authorization: `Bearer ${server.tokens.auditor}` }
    const bundle = await fetch(`${server.url}/v1/entries/1/evidence`, { headers })
    await writeFile(join(folder, 'one.evidence'), Buffer.from(await bundle.arrayBuffer()))
    const args = [join(folder, 'one.evidence'), '--vkey', vkey, '--policy', policy]
    expect((await run(['check', ...args])).stdout).toMatch(/cosigned by w2 at 20.*Z as the only history/)
    const python = await pythonWith('cryptography==48.0.0', join(folder, 'python'))
    const second = await finished(spawn(python, [join(import.meta.dirname, '../../deploy/verify.py'), ...args]))
    expect(second).toMatchObject({ status: 0, stdout: expect.stringMatching(/cosigned by w2 at 20.*Z as the only/) })
    const all = join(folder, 'all')
    await writeFile(all, (await readFile(policy, 'utf8')).replace('group two 2', 'group two 3'))
    const stripped = String(json.checkpoint).replace(/^\u2014 w2.*\n/m, '')
    await writeFile(receipt, JSON.stringify({ ...json, checkpoint: stripped }))
    expect(await run(['check', receipt, '--vkey', vkey, '--policy', all])).toMatchObject({
      ...{ status: 1, stdout: expect.stringContaining('does NOT hold: no-quorum: ') },
    })
  })

  test('a witness that was killed comes back where it was', async () => {
    const [w1] = witnesses as [WitnessProcess]
    w1.child.kill('SIGKILL')
    await w1.ended
    expect(signers((await post('witnessed')).json.checkpoint)).not.toContain('w1.example')
    witnesses[0] = await startWitnessProgram(folderOf(1), new URL(w1.url).host)
    await until(
      async () => signers(await (await fetch(`${server.url}/checkpoint`)).text()).includes('w1.example'),
      () => server.output(),
    )
    expect(await server.stop()).toBe(0)
  })
})

describe('published after the quorum', () => {
  test('receipts have it; with one witness left entries are durable, and nothing is published', async () => {
    server = await startServer(dataDir, settings('after-quorum'))
    expect(signers((await post('published')).json.checkpoint).length).toBeGreaterThanOrEqual(3)
    for (const { child, ended } of witnesses.slice(0, 2)) {
      child.kill('SIGKILL')
      await ended
    }
    const published = await metric('published_size')
    expect((await post('integrated')).status).toBe(201)
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    expect(await metric('published_size')).toBe(published)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
    witnesses = [await startWitnessProgram(folderOf(1), new URL(witnesses[0]?.url ?? '').host), ...witnesses.slice(1)]
    await until(
      async () => Number(await metric('published_size')) > Number(published),
      () => server.output(),
    )
    expect(await server.stop()).toBe(0)
  })

  test('a policy that cannot be used keeps the server from starting, and says why', async () => {
    const bad = join(folder, 'bad-policy')
    await writeFile(bad, `witness w1 ${witnesses[0]?.vkeys[0]} http://127.0.0.1:1\nquorum none\n`)
    const refused = await tryServer(dataDir, { ...settings('after-quorum'), DENDROLOG_WITNESS_POLICY: bad })
    expect(refused).toMatchObject({ status: 2, output: expect.stringContaining('has no quorum to publish after') })
  })
})
